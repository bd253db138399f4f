"""Synthetic clips from photos: subject and background move along separate smooth paths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.data.augment import Augment, Background, Colour, Image, Mask, augment_clip
from sodcli.data.grounds import blend_over, paste_subject, random_piece

Matrix = NDArray[np.float64]
Pixels = TypeVar("Pixels", Image, Mask)

_SPREAD = np.array([0.16, 0.10, 0.12, 6.0])  # shift as share of width and height, log zoom, degrees
_SPEEDS = (0.1, 1.0)  # factor on _SPREAD, log-uniform
_HELD = 0.2  # probability of a static camera, and of a subject that moves with the background
_CUT_OFF = 0.3  # factor on the motion of a subject that touches the photo's border
_SHARES = (1.0, 0.5, 0.25, 0.0)  # factors on the motion, tried in turn
_KEPT = 0.5  # minimum share of the subject's area in every frame; otherwise the motion is reduced
_RIM = 0.01  # dilation of the mask before inpainting, as a share of the longer side
_SOFT = 0.7  # sigma of the subject's edge, in pixels


@dataclass(frozen=True, slots=True)
class Motion:
    """Shift (shares of the sides), zoom (log scale) and rotation (degrees) of a layer over time.

    With ``s = moment - start``, each of the four is
    ``amount * (s + bend * s**2 + sway * sin(2 pi s))``; at ``start`` the layer is as in the photo.
    """

    amount: NDArray[np.float64]
    bend: NDArray[np.float64]
    sway: NDArray[np.float64]
    start: float

    def matrix(
        self, moment: float, share: float, centre_xy: Sequence[float], size_wh: tuple[int, int]
    ) -> Matrix:
        """Return the ``(3, 3)`` matrix from the photo to the frame at ``moment``.

        Args:
            moment: Time, from 0 at the clip's first frame to 1 at its last.
            share: Factor on all amounts.
            centre_xy: Centre of rotation and zoom, in pixels.
            size_wh: Width and height of the photo in pixels.
        """
        s = moment - self.start
        progress = s + self.bend * s * s + self.sway * np.sin(2 * np.pi * s)
        right, down, zoom, turn = share * self.amount * progress
        matrix = np.eye(3)
        matrix[:2] = cv2.getRotationMatrix2D(tuple(centre_xy), turn, float(np.exp(zoom)))
        matrix[:2, 2] += right * size_wh[0], down * size_wh[1]
        return matrix


def move_still(
    image: Image,
    mask: Mask,
    length: int,
    rng: np.random.Generator,
    background: Image | None = None,
) -> tuple[list[Image], list[Mask]]:
    """Make a clip from a photo: the camera moves, and the subject moves over the background.

    The area behind the subject is inpainted. The motion is reduced until the subject stays mostly
    in view. If the mask nowhere exceeds 1/2, there is no subject and only the camera moves.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        mask: ``(H, W)`` float32 in [0, 1].
        length: Number of frames of the clip.
        rng: Random number generator.
        background: ``(h, w, 3)`` uint8 RGB, of any size; replaces the photo's background.

    Returns:
        ``length`` pictures and masks, with the shapes and dtypes of the inputs.
    """
    size_wh = (mask.shape[1], mask.shape[0])
    subject = mask > 0.5
    if background is None:
        ground = fill_behind(image, mask)
    else:
        ground = random_piece(background, size_wh, rng)
    camera, own = draw_motion(rng), draw_motion(rng, _CUT_OFF if _touches_edge(subject) else 1.0)
    moments = np.linspace(0, 1, length)
    middle = (size_wh[0] / 2, size_wh[1] / 2)
    centre = _centre(subject) or middle

    def paths(share: float) -> list[tuple[Matrix, Matrix]]:
        views = [camera.matrix(moment, share, middle, size_wh) for moment in moments]
        moves = [own.matrix(moment, share, centre, size_wh) for moment in moments]
        return [(view, view @ move) for view, move in zip(views, moves, strict=True)]

    chosen, masks = _kept_in_view(mask, paths)
    images = [
        _composed(image, ground, moved, layers) for moved, layers in zip(masks, chosen, strict=True)
    ]
    return images, masks


def draw_motion(rng: np.random.Generator, share: float = 1.0) -> Motion:
    """Draw a random motion: often slow, sometimes none."""
    speed = np.exp(rng.uniform(*np.log(_SPEEDS))) * (rng.random() >= _HELD)
    return Motion(
        share * speed * rng.normal(0, _SPREAD),
        rng.uniform(-0.5, 0.5, 4),
        rng.uniform(-0.15, 0.15, 4),
        float(rng.random()),
    )


def fill_behind(image: Image, mask: Mask) -> Image:
    """Return ``image`` with the area of ``mask`` inpainted from its surroundings.

    Low frequencies are interpolated from around the hole, coarse to fine. Fine detail is copied
    from beside the hole, from the shift by its width or height that overlaps it least.
    """
    rim = max(1, round(_RIM * max(mask.shape)))
    hole = cv2.dilate(mask, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)) > 0.1
    if not hole.any() or hole.all():
        return image
    known = 1 - hole.astype(np.float32)
    smooth = _fill_smoothly(image * known[..., None], known)
    low = cv2.GaussianBlur(smooth, (0, 0), max(mask.shape) / 60)
    detail = np.where(hole[..., None], 0, smooth - low)
    filled = low + _from_beside(detail, hole)
    seam = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), rim)[..., None]
    painted = smooth + seam * (filled - smooth) * hole[..., None]
    return np.asarray(np.clip(painted, 0, 255), np.uint8)


def _fill_smoothly(colour: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill pixels where ``known`` is 0 with the mean of known pixels around, coarse to fine."""
    if min(known.shape) < 4 or known.all():
        mean = colour.sum((0, 1)) / max(float(known.sum()), 1e-6)
        return np.asarray(colour + (1 - known[..., None]) * mean, np.float32)
    weight = cv2.pyrDown(known)
    part = cv2.pyrDown(colour) / np.maximum(weight, 1e-6)[..., None]
    found = (weight > 1e-3).astype(np.float32)
    coarse = _fill_smoothly(np.asarray(part * found[..., None], np.float32), found)
    above = cv2.resize(coarse, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.where(known[..., None] > 0, colour, above), np.float32)


def _from_beside(detail: NDArray[np.float32], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    _, _, wide, high = cv2.boundingRect(hole.astype(np.uint8))
    ways = [(0, wide), (0, -wide), (high, 0), (-high, 0)]
    least = min(ways, key=lambda way: int((np.roll(hole, way, (0, 1)) & hole).sum()))
    return np.roll(detail, least, (0, 1))


def _kept_in_view(
    mask: Mask, paths: Callable[[float], list[tuple[Matrix, Matrix]]]
) -> tuple[list[tuple[Matrix, Matrix]], list[Mask]]:
    """Return layer matrices and moved masks for the largest motion that keeps the subject in view.

    The factors ``_SHARES`` are tried in turn.
    """
    for share in _SHARES:
        chosen = paths(share)
        masks = [_warped(mask, move, cv2.BORDER_CONSTANT) for _, move in chosen]
        areas = [np.linalg.det(move[:2, :2]) * mask.sum() for _, move in chosen]
        if all(m.sum() >= _KEPT * area for m, area in zip(masks, areas, strict=True)):
            break
    return chosen, masks


def _composed(image: Image, ground: Image, moved: Mask, layers: tuple[Matrix, Matrix]) -> Image:
    """Compose the subject, at the mask ``moved``, over ``ground``."""
    view, move = layers
    behind = _warped(ground, view, cv2.BORDER_REFLECT_101)
    return blend_over(_warped(image, move, cv2.BORDER_REPLICATE), behind, moved, _SOFT)


def _warped(pixels: Pixels, matrix: Matrix, border: int) -> Pixels:
    size_wh = (pixels.shape[1], pixels.shape[0])
    moved = cv2.warpAffine(pixels, matrix[:2], size_wh, flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(moved, pixels.dtype)


def _centre(subject: NDArray[np.bool_]) -> tuple[float, float] | None:
    x, y, wide, high = cv2.boundingRect(subject.astype(np.uint8))
    return (x + wide / 2, y + high / 2) if wide else None


def _touches_edge(subject: NDArray[np.bool_]) -> bool:
    return bool(
        subject[0].any() or subject[-1].any() or subject[:, 0].any() or subject[:, -1].any()
    )


_MOST: Final = 2  # maximum side of a photo to animate, in sides of the network's input


def clip_from_photo(
    image: Image,
    mask: Mask,
    plan: Augment,
    size_hw: tuple[int, int],
    rng: np.random.Generator,
    background: Background | None = None,
    *,
    length: int,
    motion: float,
) -> tuple[Colour, Mask]:
    """Make a clip from a photo, animated or repeated, and augment it.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        mask: ``(H, W)`` float32 in [0, 1].
        plan: Augmentation, with the same random parameters for all frames.
        size_hw: Height and width of the clip.
        rng: Random number generator.
        background: Returns a picture to paste the subject on, used if ``plan.paste`` applies.
        length: Number of frames T.
        motion: Probability that the photo is animated, with :func:`move_still`.

    Returns:
        ``(T, h, w, 3)`` float32 RGB in [0, 1] and ``(T, h, w)`` float32 in [0, 1].
    """
    other = None
    if background is not None and rng.random() < plan.paste:
        other = background(rng)
    if rng.random() < motion:
        image, mask = _at_most(_MOST * max(size_hw), image, mask)
        images, masks = move_still(image, mask, length, rng, other)
        return augment_clip(images, masks, plan, size_hw, rng)
    if other is not None:
        image, mask = paste_subject(image, mask, other, rng)
    colour, truth = augment_clip([image], [mask], plan, size_hw, rng)
    return np.repeat(colour, length, axis=0), np.repeat(truth, length, axis=0)


def _at_most(side: int, image: Image, mask: Mask) -> tuple[Image, Mask]:
    """Shrink a photo whose longer side exceeds ``side`` pixels."""
    share = side / max(mask.shape)
    if share >= 1:
        return image, mask
    size_wh = (max(1, round(mask.shape[1] * share)), max(1, round(mask.shape[0] * share)))
    small, truth = (cv2.resize(x, size_wh, interpolation=cv2.INTER_AREA) for x in (image, mask))
    return np.asarray(small, np.uint8), np.asarray(truth, np.float32)
