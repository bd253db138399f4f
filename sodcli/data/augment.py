"""Random augmentation of a picture and its mask, for the papers' recipes and our own."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.data.grounds import draw_plain, paste_subject
from sodcli.data.photometric import degrade, enhance, jitter, to_grey
from sodcli.errors import UsageError
from sodcli.tables import Range, check_fields

Image = NDArray[np.uint8]
Mask = NDArray[np.float32]
Colour = NDArray[np.float32]
Background = Callable[[np.random.Generator], Image]

_TRIES = 4
_KEPT = 0.6  # a random crop that keeps a smaller share of the subject is skipped

Chance = Annotated[float, Range(least=0, most=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """Settings of the augmentation; by default all of it is off.

    Attributes:
        border_crop: Rows and columns cut from each side, uniform in 0..border_crop, in pixels of
            the file (SDNet: 14).
        flip_lr: Probability of a flip left to right (SDNet: 0.25; MINet, InSPyReNet: 0.5).
        flip_ud: Probability of a flip upside down; never both (SDNet: 0.25).
        zoom: Range of a random crop's sides, as a share of the picture's. Crops that lose much of
            the subject are skipped.
        rotate: Maximum rotation about the centre, in degrees, in either direction
            (MINet, InSPyReNet: 10).
        rotate_chance: Probability of the rotation (MINet: 1; InSPyReNet: 0.5).
        scale_crop: Range of a scaling about the centre, applied with probability 1/2 (InSPyReNet's
            ``random_scale_crop``: 0.75 to 1.25).
        mirror: Whether rotation and scaling pad by reflection; otherwise with black.
        jitter: Strength for brightness, contrast and saturation, see
            :func:`sodcli.data.photometric.jitter` (MINet: 0.1 each).
        enhance: Whether to apply InSPyReNet's ``random_image_enhance``.
        grey: Probability of conversion to greyscale.
        degrade: Probabilities of blur, noise and strong JPEG compression.
        paste: Probability that the subject is pasted on another background.
        studio: Probability that the subject is pasted on a plain background, with a shadow.
        empty: Probability that the pair is replaced by a plain background without a subject.
        binary: Whether to binarise masks at 1/2 (MINet).
        mask_nearest: Whether to resize masks by nearest neighbour (MINet, InSPyReNet).
        reverse: Probability that a clip is reversed in time (RCRNet: 0.5).

    Raises:
        UsageError: If a value is not a number or out of range; the message names the entry.
    """

    border_crop: Annotated[int, Range(least=0, most=10_000)] = 0
    flip_lr: Chance = 0.0
    flip_ud: Chance = 0.0
    zoom: Annotated[tuple[float, float], Range(least=0.05, most=1, rising=True)] = (1.0, 1.0)
    rotate: Annotated[float, Range(least=0, most=180)] = 0.0
    rotate_chance: Chance = 1.0
    scale_crop: Annotated[tuple[float, float], Range(least=0.05, most=20, rising=True)] = (1.0, 1.0)
    jitter: Annotated[tuple[float, float, float], Range(least=0, most=10)] = (0.0, 0.0, 0.0)
    enhance: bool = False
    mirror: bool = False
    grey: Chance = 0.0
    degrade: Annotated[tuple[float, float, float], Range(least=0, most=1)] = (0.0, 0.0, 0.0)
    paste: Chance = 0.0
    studio: Chance = 0.0
    empty: Chance = 0.0
    binary: bool = False
    mask_nearest: bool = False
    reverse: Chance = 0.0

    def __post_init__(self) -> None:
        check_fields(self, "augment")
        if self.flip_lr + self.flip_ud > 1:
            raise UsageError("augment: flip_lr and flip_ud together exceed 1; one draw decides")
        if self.studio + self.empty > 1:
            raise UsageError("augment: studio and empty together exceed 1; one draw decides")


def augment(
    image: Image,
    mask: Mask,
    plan: Augment,
    size_hw: tuple[int, int],
    rng: np.random.Generator,
    background: Background | None = None,
) -> tuple[Colour, Mask]:
    """Augment a picture and its mask and resize both to the network's input.

    The order is that of the papers: paste, border crop, zoom and flip at the file's size, then the
    resize, then scaling, rotation and colour changes at the network's size.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        mask: ``(H, W)`` float32 in [0, 1].
        plan: Settings of the augmentation.
        size_hw: Height and width of the result; the aspect ratio is not kept.
        rng: Random number generator.
        background: Returns a ``(h, w, 3)`` uint8 RGB picture; without it nothing is pasted.

    Returns:
        ``(h, w, 3)`` float32 RGB in [0, 1] and ``(h, w)`` float32 in [0, 1].
    """
    image, mask = _other_ground(image, mask, plan, rng, background)
    view = _view(mask, plan, rng)
    return _finished(view(image), view(mask), plan, size_hw, rng)


def augment_clip(
    images: Sequence[Image],
    masks: Sequence[Mask],
    plan: Augment,
    size_hw: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[Colour, Mask]:
    """Augment all frames of a clip and their masks with the same random parameters.

    The arguments are those of :func:`augment`, with lists of frames of equal size. ``paste``,
    ``studio`` and ``empty`` do not apply.

    Returns:
        ``(T, h, w, 3)`` float32 RGB in [0, 1] and ``(T, h, w)`` float32 in [0, 1].
    """
    if plan.reverse and rng.random() < plan.reverse:
        images, masks = images[::-1], masks[::-1]
    view = _view(np.mean(masks, axis=0), plan, rng)
    changed = [
        _finished(view(image), view(mask), plan, size_hw, copy.deepcopy(rng))
        for image, mask in zip(images, masks, strict=True)
    ]
    colours, truths = zip(*changed, strict=True)
    return np.stack(colours), np.stack(truths)


def resize_image(image: Image, size_hw: tuple[int, int]) -> Colour:
    """Resize as published: in float, bilinear between pixel centres, without antialiasing.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        size_hw: Height and width of the result.

    Returns:
        ``(h, w, 3)`` float32 in [0, 1].
    """
    floats = np.multiply(image, np.float32(1 / 255), dtype=np.float32)
    return np.asarray(cv2.resize(floats, size_hw[::-1], interpolation=cv2.INTER_LINEAR))


def resize_mask(mask: Mask, size_hw: tuple[int, int], *, nearest: bool = False) -> Mask:
    """Resize an ``(H, W)`` float32 mask, bilinear like its picture or by nearest neighbour."""
    method = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask, size_hw[::-1], interpolation=method))


def _view(
    mask: Mask, plan: Augment, rng: np.random.Generator
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Draw the crops and the flip; return a function that applies them."""
    border = _border_crop(mask, plan.border_crop, rng)
    window = _zoom(mask[border], plan.zoom, rng)
    flip = _flip(plan, rng)
    return lambda pixels: pixels[border][window][flip]


def _other_ground(
    image: Image,
    mask: Mask,
    plan: Augment,
    rng: np.random.Generator,
    background: Background | None,
) -> tuple[Image, Mask]:
    """Apply at most one of ``paste``, ``studio`` and ``empty``."""
    if background is not None and rng.random() < plan.paste:
        return paste_subject(image, mask, background(rng), rng)
    if plan.studio + plan.empty > 0:
        draw = rng.random()
        if draw < plan.studio:
            return paste_subject(image, mask, draw_plain(mask.shape, rng), rng, shadow=True)
        if draw < plan.studio + plan.empty:
            return draw_plain(mask.shape, rng), np.zeros_like(mask)
    return image, mask


def _finished(
    image: Image,
    mask: Mask,
    plan: Augment,
    size_hw: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[Colour, Mask]:
    """Resize, then scale, rotate and change colours; the draws do not depend on pixel values."""
    colour = resize_image(image, size_hw)
    mask = resize_mask(mask, size_hw, nearest=plan.mask_nearest)
    colour, mask = _scale_and_turn(colour, mask, plan, rng)
    if plan.binary:
        mask = (mask >= 0.5).astype(np.float32)
    return _recolour(colour, plan, rng), mask


def _border_crop(mask: Mask, most: int, rng: np.random.Generator) -> tuple[slice, slice]:
    if most == 0:
        return np.s_[:, :]
    high, wide = mask.shape
    top, bottom = rng.integers(min(most, (high - 1) // 2), size=2, endpoint=True)
    left, right = rng.integers(min(most, (wide - 1) // 2), size=2, endpoint=True)
    return np.s_[top : high - bottom, left : wide - right]


def _zoom(mask: Mask, shares: tuple[float, float], rng: np.random.Generator) -> tuple[slice, slice]:
    whole = np.s_[:, :]
    if shares[0] == 1:
        return whole
    high, wide = mask.shape
    enough = _KEPT * mask.sum()
    for _ in range(_TRIES):
        share = rng.uniform(*shares)
        h, w = max(1, round(high * share)), max(1, round(wide * share))
        y, x = rng.integers(high - h, endpoint=True), rng.integers(wide - w, endpoint=True)
        window = np.s_[y : y + h, x : x + w]
        if mask[window].sum() >= enough:
            return window
    return whole


def _flip(plan: Augment, rng: np.random.Generator) -> tuple[slice, slice]:
    draw = rng.random()
    if draw < plan.flip_lr:
        return np.s_[:, ::-1]
    return np.s_[::-1, :] if draw < plan.flip_lr + plan.flip_ud else np.s_[:, :]


def _scale_and_turn(
    colour: Colour, mask: Mask, plan: Augment, rng: np.random.Generator
) -> tuple[Colour, Mask]:
    if tuple(plan.scale_crop) != (1, 1) and rng.random() < 0.5:
        scale = rng.uniform(*plan.scale_crop)
        colour, mask = _warp(colour, mask, plan, 0, scale)
    if plan.rotate > 0 and rng.random() < plan.rotate_chance:
        colour, mask = _warp(colour, mask, plan, rng.uniform(-plan.rotate, plan.rotate), 1)
    return colour, mask


def _warp(
    colour: Colour, mask: Mask, plan: Augment, degrees: float, scale: float
) -> tuple[Colour, Mask]:
    high, wide = mask.shape
    matrix = cv2.getRotationMatrix2D(((wide - 1) / 2, (high - 1) / 2), degrees, scale)
    method = cv2.INTER_NEAREST if plan.mask_nearest else cv2.INTER_LINEAR
    edge = cv2.BORDER_REFLECT_101 if plan.mirror else cv2.BORDER_CONSTANT
    size = (wide, high)
    return (
        np.asarray(cv2.warpAffine(colour, matrix, size, borderMode=edge), np.float32),
        np.asarray(cv2.warpAffine(mask, matrix, size, flags=method, borderMode=edge), np.float32),
    )


def _recolour(colour: Colour, plan: Augment, rng: np.random.Generator) -> Colour:
    colour = jitter(colour, plan.jitter, rng)
    if plan.enhance:
        colour = enhance(colour, rng)
    if rng.random() < plan.grey:
        colour = to_grey(colour)
    return degrade(colour, plan.degrade, rng) if any(plan.degrade) else colour
