"""Backgrounds to paste subjects on: other photos, and random plain backgrounds.

Copy-paste augmentation: Ghiasi et al., CVPR 2021. A plain background without a subject serves as
an example without salient objects.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]

_SCALES = (0.5, 1.2)  # range of the subject's scale factor
_SOFTNESS = (0.5, 1.5)  # sigma of the blurred edge, in pixels
_WIDE_BLUR = 16.0  # sigma in pixels; twice this and more are done at a lower resolution
_INSIDE = 0.35  # share of the subject's box, in each direction from its centre, kept in view
_GREY = 0.5  # probability of a grey colour
_FEW_LEVELS = 12.0  # standard deviation of the difference of two similar colours, in grey levels


def paste_subject(
    image: NDArray[np.uint8],
    mask: NDArray[np.float32],
    background: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    shadow: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Paste the subject, which ``mask`` marks in ``image``, on a crop of ``background``.

    The subject is scaled and shifted so that most of it stays in view. The crop is the largest of
    the aspect ratio, at a random position, mirrored with probability 1/2. Only the picture gets a
    soft edge, not the mask.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        mask: ``(H, W)`` float32 in [0, 1]. If it nowhere exceeds 1/2, picture and mask are
            returned unchanged.
        background: ``(h, w, 3)`` uint8 RGB, of any size.
        rng: Random number generator.
        shadow: Whether the subject casts a shadow.

    Returns:
        The new picture and mask, with the shapes and dtypes of the inputs.
    """
    box_xywh = cv2.boundingRect((mask > 0.5).astype(np.uint8))
    if box_xywh[2] == 0:
        return image, mask
    size_wh = (mask.shape[1], mask.shape[0])
    matrix = _placement(box_xywh, size_wh, rng)
    subject = np.asarray(
        cv2.warpAffine(image, matrix, size_wh, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    moved = np.asarray(cv2.warpAffine(mask, matrix, size_wh), np.float32)
    sigma = rng.uniform(*_SOFTNESS)
    ground = random_piece(background, size_wh, rng)
    if shadow:
        ground = cast_shadow(ground, moved, rng)
    return blend_over(subject, ground, moved, sigma), moved


def blend_over(
    subject: NDArray[np.uint8], ground: NDArray[np.uint8], mask: NDArray[np.float32], sigma: float
) -> NDArray[np.uint8]:
    """Blend ``subject`` over ``ground`` by ``mask``, whose edge is blurred by ``sigma`` pixels.

    It is blurred inwards only, to exclude the background that the subject had before.
    """
    alpha = np.minimum(mask, cv2.GaussianBlur(mask, (5, 5), sigma))
    return np.asarray(cv2.blendLinear(subject, ground, alpha, 1 - alpha), np.uint8)


def _placement(
    box_xywh: Sequence[int], size_wh: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a random affine matrix that scales the box and keeps its centre in view."""
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
    """Return a random crop resized to ``size_wh``, mirrored with probability 1/2.

    The crop has the aspect ratio of ``size_wh``.
    """
    high, wide = background.shape[:2]
    share = min(wide / size_wh[0], high / size_wh[1])
    w, h = (max(1, int(side * share)) for side in size_wh)
    x, y = rng.integers(wide - w, endpoint=True), rng.integers(high - h, endpoint=True)
    piece = background[y : y + h, x : x + w]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    return np.asarray(cv2.resize(piece, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)


def draw_plain(size_hw: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a uniform colour, gradient, vignette, horizon or texture, with camera noise.

    Args:
        size_hw: Height and width in pixels.
        rng: Random number generator.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    kinds = (_uniform, _gradient, _vignette, _horizon, _texture)
    scene = kinds[rng.integers(len(kinds))](size_hw, rng)
    scene += rng.normal(0, rng.uniform(0, 4), scene.shape).astype(np.float32)
    return np.asarray(np.clip(scene, 0, 255), np.uint8)


def cast_shadow(
    ground: NDArray[np.uint8], mask: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Darken ``ground`` by the blurred, shifted shape of the subject that is pasted on it.

    Args:
        ground: ``(H, W, 3)`` uint8 RGB.
        mask: ``(H, W)`` float32 in [0, 1], the subject's mask.
        rng: Random number generator.
    """
    high, wide = mask.shape
    right, down = rng.normal(0, 0.03) * wide, rng.uniform(0, 0.05) * high
    shift = np.array([[1, 0, right], [0, 1, down]])
    moved = cv2.warpAffine(mask, shift, (wide, high))
    sigma = rng.uniform(0.01, 0.05) * max(high, wide)
    factor = max(1, int(sigma / _WIDE_BLUR))  # a wide blur of a large photo takes seconds
    small_wh = (max(1, wide // factor), max(1, high // factor))
    small = cv2.resize(moved, small_wh, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / factor), (wide, high))
    return np.asarray(ground * (1 - rng.uniform(0, 0.6) * soft[..., None]), np.uint8)


def _colour(rng: np.random.Generator) -> Colour:
    grey = rng.random() < _GREY
    values = (
        np.full(3, rng.choice([0, 255, rng.uniform(0, 255)])) if grey else rng.uniform(0, 255, 3)
    )
    return np.asarray(values, np.float32)


def _two_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    first = _colour(rng)
    near = first + rng.normal(0, _FEW_LEVELS) + rng.normal(0, _FEW_LEVELS / 3, 3)
    return first, np.asarray(near, np.float32) if rng.random() < 0.5 else _colour(rng)


def _between(shares: Colour, rng: np.random.Generator) -> Colour:
    first, second = _two_colours(rng)
    return np.asarray(first + shares[..., None] * (second - first), np.float32)


def _uniform(size_hw: tuple[int, int], rng: np.random.Generator) -> Colour:
    return np.broadcast_to(_colour(rng), (*size_hw, 3)).copy()


def _grid(size_hw: tuple[int, int]) -> tuple[Colour, Colour]:
    """Return row and column coordinates from -1 to 1."""
    axes = (np.linspace(-1, 1, side, dtype=np.float32) for side in size_hw)
    rows, columns = np.meshgrid(*axes, indexing="ij")
    return rows, columns


def _gradient(size_hw: tuple[int, int], rng: np.random.Generator) -> Colour:
    rows, columns = _grid(size_hw)
    angle = rng.uniform(0, 2 * np.pi)
    return _between((1 + np.cos(angle) * rows + np.sin(angle) * columns) / 2, rng)


def _vignette(size_hw: tuple[int, int], rng: np.random.Generator) -> Colour:
    rows, columns = _grid(size_hw)
    y, x = rng.uniform(-0.5, 0.5, 2)
    first = _colour(rng)
    fall = ((rows - y) ** 2 + (columns - x) ** 2) / 4 * rng.uniform(0.1, 0.6)
    return np.asarray(first * (1 - np.minimum(fall, 1))[..., None], np.float32)


def _horizon(size_hw: tuple[int, int], rng: np.random.Generator) -> Colour:
    rows, columns = _grid(size_hw)
    edge = rows - rng.uniform(-0.6, 0.6) - rng.normal(0, 0.1) * columns
    softness = rng.choice([0.005, 0.05, 0.3])
    return _between(
        np.asarray(1 / (1 + np.exp(-np.clip(edge / softness, -50, 50))), np.float32), rng
    )


def _texture(size_hw: tuple[int, int], rng: np.random.Generator) -> Colour:
    """Return a sum of noise at several scales, resembling clouds, sand or grass."""
    slope = rng.uniform(-0.5, 1.5)
    total = np.zeros(size_hw, np.float32)
    for scale in (2, 4, 8, 16, 32, 64, 128):
        shape = [max(1, round(side * scale / 256)) for side in size_hw]
        noise = rng.standard_normal(shape, np.float32) * scale**-slope
        total += cv2.resize(noise, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    spread = (total - total.min()) / max(float(np.ptp(total)), 1e-6)
    return _between(np.asarray(spread, np.float32), rng)
