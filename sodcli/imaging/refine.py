"""Foreground colour estimation: a cut-out without a halo of its old background.

At a soft edge a picture shows ``I = a F + (1 - a) B``. Compositing ``I`` over a new background
keeps the contribution of ``B`` as a coloured fringe, so ``F`` has to be estimated. The method is
blur-fusion in two passes: M. Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_WIDE: Final = 23  # window of the first pass, in pixels of the coarse picture
_NARROW: Final = 6  # window of the second pass in px
_FINE_SIDE: Final = 1448  # px: larger pictures are halved until they are at most this long
_COARSER: Final = 4  # second shrink factor; the wide window covers about 90 px of the fine picture
_NEAR: Final = 8  # px
_TILE: Final = 128
_VISIBLE: Final = 0.5 / 255  # minimum alpha that rounds to 1 at 8 bits
_OPAQUE: Final = 254.5 / 255  # minimum alpha that rounds to 255
_EPSILON: Final = np.float32(1e-5)


def estimate_foreground(
    rgb: NDArray[np.uint8], alpha: Floats, near: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Estimate the subject's own colour where it mixes with the background.

    The first pass averages over a wide window. It runs on a picture halved to at most 1448 px and
    then shrunk by a factor of 4, so that the window also covers the soft edges of a large photo.
    The second pass works on tiles, and only on those that the subject's edge crosses.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        alpha: ``(H, W)`` float32 in ``[0, 1]``, the subject's share of each pixel.
        near: The result of :func:`near_subject`, if the caller has it already.

    Returns:
        ``(H, W, 3)`` uint8. Opaque pixels and those beyond ``near_subject`` stay as they are.
    """
    near = near_subject(alpha) if near is None else near
    wanted = (near & (alpha < _OPAQUE)).view(np.uint8)
    out = rgb.copy()
    foreground, background = _wide_pass(rgb, alpha)
    for top, left in _tiles(wanted):
        y, x = max(top - _NARROW, 0), max(left - _NARROW, 0)
        tile = np.s_[y : top + _TILE + _NARROW, x : left + _TILE + _NARROW]
        share = alpha[tile]
        fore, back = (_cut(c, alpha.shape, (y, x), share.shape) for c in (foreground, background))
        colour = _narrow_pass(rgb[tile], share, fore, back)
        core = np.s_[top : top + _TILE, left : left + _TILE]
        cv2.copyTo(colour[top - y :, left - x :][:_TILE, :_TILE], wanted[core], out[core])
    return out


def near_subject(alpha: Floats) -> NDArray[np.bool_]:
    """Return a mask of the pixels visible at 8 bits and those within 8 px; ``(H, W)`` bool.

    A viewer that scales a cut-out averages neighbouring pixels, transparent ones included, so
    invisible pixels near the edge need the subject's colour. Those farther away do not matter.
    """
    visible = (alpha >= _VISIBLE).view(np.uint8)
    side = 2 * _NEAR + 1
    return cv2.dilate(visible, np.ones((side, side), np.uint8)).view(np.bool_)


def _wide_pass(rgb: NDArray[np.uint8], alpha: Floats) -> tuple[Floats, Floats]:
    """Return the mean colours of subject and background around each pixel, at reduced size.

    Colours are multiplied by alpha before shrinking, so that subject and background do not mix.
    """
    share = alpha
    while max(share.shape) > _FINE_SIDE:
        rgb, share = _shrunk(rgb, 2), _shrunk(share, 2)
    colour = rgb.astype(np.float32)
    default, subject = _shrunk(colour, _COARSER), _shrunk(colour * _three_channels(share), _COARSER)
    share = _shrunk(share, _COARSER)
    fore = _mean(subject, share, _WIDE, default)
    return fore, _mean(default - subject, 1 - share, _WIDE, default)


def _shrunk(picture: NDArray[Any], times: int) -> NDArray[Any]:
    height, width = (max(1, round(side / times)) for side in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def _narrow_pass(
    rgb: NDArray[np.uint8], alpha: Floats, fore: Floats, back: Floats
) -> NDArray[np.uint8]:
    """Return the foreground colour of a tile at full size from the first pass's means.

    The paper averages the background over the narrow window too. Here it is the first pass's mean,
    which is nearly constant within a few pixels.
    """
    share, rest = _three_channels(alpha), _three_channels(1 - alpha * alpha)
    left = np.asarray(cv2.subtract(rgb, back, dtype=cv2.CV_32F), np.float32)
    left *= share
    first = _corrected(left, rest, fore, back)
    first += back
    np.clip(first, 0, 255, out=first)
    first *= share
    colour = _corrected(left, rest, _mean(first, alpha, _NARROW, fore), back)
    return np.asarray(cv2.add(colour, back, dtype=cv2.CV_8U), np.uint8)


def _mean(weighted: Floats, weight: Floats, side: int, default: Floats) -> Floats:
    """Average premultiplied colours over a window; ``default`` where ``weight`` is zero."""
    per_weight = 1 / (cv2.blur(weight, (side, side)) + _EPSILON)
    mean = np.asarray(cv2.blur(weighted, (side, side)), np.float32)
    mean += _EPSILON * default
    mean *= _three_channels(np.asarray(per_weight, np.float32))
    return mean


def _corrected(left: Floats, rest: Floats, fore: Floats, back: Floats) -> Floats:
    """Return ``fore`` minus ``back`` after the correction by the picture's residual.

    With alpha ``a`` the paper's correction is ``F + a (I - a F - (1 - a) B)``, which is
    ``B + (1 - a^2) (F - B) + a (I - B)``.

    Args:
        left: ``a (I - B)``.
        rest: ``1 - a^2``.
        fore: The estimate ``F``.
        back: The background ``B``.
    """
    moved = fore - back
    moved *= rest
    moved += left
    return moved


def _three_channels(plane: Floats) -> Floats:
    """Repeat ``(H, W)`` for three channels; products of equal shapes are twice as fast."""
    return np.asarray(cv2.merge((plane, plane, plane)), np.float32)


def _tiles(wanted: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yield the top left corner of each tile with a nonzero pixel in ``wanted``."""
    for top in range(0, wanted.shape[0], _TILE):
        for left in range(0, wanted.shape[1], _TILE):
            if wanted[top : top + _TILE, left : left + _TILE].any():
                yield top, left


def _cut(
    coarse: Floats, full_hw: tuple[int, ...], corner: tuple[int, int], size_hw: tuple[int, ...]
) -> Floats:
    """Cut a tile out of ``coarse`` enlarged to ``full_hw``, without enlarging all of it.

    It may be off by half a pixel, which is negligible for means over about a hundred pixels.
    """
    rows, height, top = _span(corner[0], size_hw[0], coarse.shape[0] / full_hw[0], coarse.shape[0])
    cols, width, left = _span(corner[1], size_hw[1], coarse.shape[1] / full_hw[1], coarse.shape[1])
    patch = cv2.resize(coarse[rows, cols], (width, height))
    return np.asarray(patch[top:, left:][: size_hw[0], : size_hw[1]], np.float32)


def _span(start: int, length: int, scale: float, cells: int) -> tuple[slice, int, int]:
    """Return the cells that cover the pixels, their length in pixels, and the start in them."""
    first = max(math.floor(start * scale) - 1, 0)
    last = min(math.ceil((start + length) * scale) + 1, cells)
    origin = round(first / scale)
    return slice(first, last), round(last / scale) - origin, start - origin
