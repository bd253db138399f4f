"""A picture's subject on another background (copy and paste, Ghiasi et al., CVPR 2021)."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

_SCALES = (0.5, 1.2)  # the subject's new size, as a share of its own
_SOFTNESS = (0.5, 1.5)  # sigma of the seam, in pixels
_INSIDE = 0.35  # share of the subject's box, each way from its middle, that stays in the picture


def paste_subject(
    image: NDArray[np.uint8],
    mask: NDArray[np.float32],
    background: NDArray[np.uint8],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Put what ``mask`` marks in ``image`` on a piece of ``background``.

    The subject is scaled and shifted so that most of it stays in view; the piece is as large as
    fits, lies anywhere, and is mirrored half of the time. Only the picture gets the soft seam.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        mask: ``(H, W)`` float32 in [0, 1]. Where it nowhere exceeds 1/2, there is nothing to paste
            and both come back as they are.
        background: ``(h, w, 3)`` uint8 RGB, of any size.
        rng: Where everything is drawn from.

    Returns:
        The new picture and its mask, of the sizes and types of the given ones.
    """
    box_xywh = cv2.boundingRect((mask > 0.5).astype(np.uint8))
    if box_xywh[2] == 0:
        return image, mask
    size_wh = (mask.shape[1], mask.shape[0])
    matrix = _placement(box_xywh, size_wh, rng)
    subject = cv2.warpAffine(image, matrix, size_wh, borderMode=cv2.BORDER_REPLICATE)
    moved = np.asarray(cv2.warpAffine(mask, matrix, size_wh), np.float32)
    blurred = cv2.GaussianBlur(moved, (5, 5), rng.uniform(*_SOFTNESS))
    alpha = np.minimum(moved, blurred)  # soft inwards: no rim of the old surroundings comes along
    pasted = cv2.blendLinear(subject, random_piece(background, size_wh, rng), alpha, 1 - alpha)
    return np.asarray(pasted, np.uint8), moved


def _placement(
    box_xywh: Sequence[int], size_wh: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the affine matrix that scales the box and puts its middle somewhere in view."""
    scale = rng.uniform(*_SCALES)
    matrix = np.diag([scale, scale, 1.0])[:2]
    for axis in (0, 1):
        start, length, side = box_xywh[axis], box_xywh[axis + 2], size_wh[axis]
        margin = min(_INSIDE * scale * length, side / 2)
        matrix[axis, 2] = rng.uniform(margin, side - margin) - scale * (start + length / 2)
    return matrix


def random_piece(
    background: NDArray[np.uint8], size_wh: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a random piece of the size's aspect, resized to it, mirrored half of the time."""
    high, wide = background.shape[:2]
    share = min(wide / size_wh[0], high / size_wh[1])
    w, h = (max(1, int(side * share)) for side in size_wh)
    x, y = rng.integers(wide - w, endpoint=True), rng.integers(high - h, endpoint=True)
    piece = background[y : y + h, x : x + w]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    return np.asarray(cv2.resize(piece, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
