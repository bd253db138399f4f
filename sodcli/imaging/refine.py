"""Foreground colour estimation: a cut-out without a halo of its old background.

At a soft edge a picture shows ``I = a F + (1 - a) B``. Putting ``I`` itself over something new
keeps the share of ``B`` as a coloured fringe; ``F`` has to be estimated. The method is blur-fusion
in two passes: M. Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021.
"""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_WIDE: Final = 90  # window of the first pass in px, on a picture of _COARSE_SIDE px
_NARROW: Final = 6  # window of the second pass in px
_COARSE_SIDE: Final = 1024
_NEAR: Final = 8  # px
_TILE: Final = 256
_VISIBLE: Final = 0.5 / 255  # what rounds to 1 of 255
_OPAQUE: Final = 254.5 / 255  # what rounds to 255
_EPSILON: Final = np.float32(1e-5)


def estimate_foreground(rgb: NDArray[np.uint8], alpha: Floats) -> NDArray[np.uint8]:
    """Estimate the subject's own colour where it mixes with the background.

    The first pass averages over a wide window, so it runs on a picture of at most 1024 px, which
    also keeps the soft edges of a large photo within its reach. The second works on tiles, and
    only on those that the subject's edge crosses.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        alpha: ``(H, W)`` float32 in ``[0, 1]``, the subject's share of each pixel.

    Returns:
        ``(H, W, 3)`` uint8. Opaque pixels and those beyond ``near_subject`` stay as they are.
    """
    wanted = near_subject(alpha) & (alpha < _OPAQUE)
    out = rgb.copy()
    foreground, background = _wide_pass(rgb, alpha)
    for top, left in _tiles(wanted):
        y, x = max(top - _NARROW, 0), max(left - _NARROW, 0)
        tile = np.s_[y : top + _TILE + _NARROW, x : left + _TILE + _NARROW]
        share = alpha[tile][..., None]
        fore, back = (_cut(c, alpha.shape, (y, x), share.shape) for c in (foreground, background))
        colour = _narrow_pass(rgb[tile].astype(np.float32), share, fore, back)
        core = np.s_[top : top + _TILE, left : left + _TILE]
        fresh = colour[top - y :, left - x :][:_TILE, :_TILE]
        np.copyto(out[core], fresh, where=wanted[core][..., None])
    return out


def near_subject(alpha: Floats) -> NDArray[np.bool_]:
    """Mark what is visible at 8 bits, and all within 8 px of it; ``(H, W)`` bool.

    A viewer that scales a cut-out mixes neighbours, transparent ones included: around the edge
    even invisible pixels need the subject's colour, farther out they never matter.
    """
    visible = (alpha >= _VISIBLE).astype(np.uint8)
    side = 2 * _NEAR + 1
    return cv2.dilate(visible, np.ones((side, side), np.uint8)).astype(bool)


def _wide_pass(rgb: NDArray[np.uint8], alpha: Floats) -> tuple[Floats, Floats]:
    """Return the mean colours of subject and background around each pixel, at reduced size."""
    scale = min(1, _COARSE_SIDE / max(alpha.shape))
    height, width = (max(1, round(side * scale)) for side in alpha.shape)
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    share = np.asarray(cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    share = share[..., None]
    return _mean(small, share, _WIDE, small), _mean(small, 1 - share, _WIDE, small)


def _narrow_pass(picture: Floats, share: Floats, fore: Floats, back: Floats) -> NDArray[np.uint8]:
    """Return the foreground colour of a tile at full size from the first pass's means."""
    first = _explain(picture, share, fore, back)
    fore = _mean(first, share, _NARROW, fore)
    back = _mean(back, 1 - share, _NARROW, back)
    return np.rint(_explain(picture, share, fore, back)).astype(np.uint8)


def _mean(colour: Floats, weight: Floats, side: int, default: Floats) -> Floats:
    """Average over a window, each pixel counting by its weight; ``default`` if none counts."""
    total = cv2.blur(weight, (side, side))[..., None]
    summed = cv2.blur(colour * weight, (side, side)) + _EPSILON * default
    mean: Floats = summed / (total + _EPSILON)
    return mean


def _explain(picture: Floats, share: Floats, fore: Floats, back: Floats) -> Floats:
    """Move ``fore`` so that, mixed with ``back``, it gives the picture."""
    left_over = picture - share * fore - (1 - share) * back
    moved: Floats = np.clip(fore + share * left_over, 0, 255)
    return moved


def _tiles(wanted: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the top left corner of each tile in which anything is wanted."""
    for top in range(0, wanted.shape[0], _TILE):
        for left in range(0, wanted.shape[1], _TILE):
            if wanted[top : top + _TILE, left : left + _TILE].any():
                yield top, left


def _cut(
    coarse: Floats, full_hw: tuple[int, ...], corner: tuple[int, int], size_hw: tuple[int, ...]
) -> Floats:
    """Cut a tile out of ``coarse`` enlarged to ``full_hw``, without enlarging all of it."""
    sy, sx = coarse.shape[0] / full_hw[0], coarse.shape[1] / full_hw[1]
    shift_y, shift_x = (corner[0] + 0.5) * sy - 0.5, (corner[1] + 0.5) * sx - 0.5
    to_coarse = np.array([[sx, 0, shift_x], [0, sy, shift_y]])
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    tile = cv2.warpAffine(coarse, to_coarse, size_hw[1::-1], flags=flags, borderMode=border)
    return np.asarray(tile, np.float32)
