"""Foreground colour estimation: a cut-out without a halo of its old background.

At a soft edge a picture shows ``I = a F + (1 - a) B``. Compositing ``I`` over a new background
keeps the contribution of ``B`` as a coloured fringe, so ``F`` has to be estimated. The method is
blur-fusion in two passes: M. Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_WIDE: Final = 23  # window of the first pass, in pixels of the coarse picture
_NARROW: Final = 6  # window of the second pass, in pixels of the fine picture
_FINE_SIDE: Final = 1448  # px: larger pictures are halved until they are at most this long
_COARSER: Final = 4  # second shrink factor; the wide window covers about 90 px of the fine picture
_NEAR: Final = 8  # px
_TILE: Final = 192  # px
_VISIBLE: Final = 0.5 / 255  # minimum alpha that rounds to 1 at 8 bits
_OPAQUE: Final = 254.5 / 255  # minimum alpha that rounds to 255
_EPSILON: Final = np.float32(1e-5)


def estimate_foreground(
    rgb: NDArray[np.uint8], alpha: Floats, near: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Estimate the subject's own colour where it mixes with the background.

    Both passes average over windows of a picture that is halved until it has at most 1448 px. The
    first runs at a quarter of its size, so that its window also covers the soft edges of a large
    photo. The second works on tiles, and only on those that the subject's edge crosses. The last
    correction takes the pixels of the full size.

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
    fine, share = rgb, alpha
    while max(share.shape) > _FINE_SIDE:
        fine, share = _shrunk(fine, 2), _shrunk(share, 2)
    wide = _wide_pass(fine, share)
    for tile in _tiles(wanted):
        around = _window(tile, alpha.shape, share.shape, _NARROW)
        coarse = _window(around.cells, share.shape, wide[0].shape, 1)
        fore, back = (coarse.enlarged(colours[coarse.cells]) for colours in wide)
        mean = _narrow_pass(fine[around.cells], share[around.cells], fore, back)
        colour = _corrected(
            rgb[tile], _three_channels(alpha[tile]), around.enlarged(mean), around.enlarged(back)
        )
        cv2.copyTo(colour, wanted[tile], out[tile])
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
    colour = rgb.astype(np.float32)
    default, subject = _shrunk(colour, _COARSER), _shrunk(colour * _three_channels(alpha), _COARSER)
    share = _shrunk(alpha, _COARSER)
    fore = _mean(subject, share, _WIDE, default)
    return fore, _mean(default - subject, 1 - share, _WIDE, default)


def _shrunk(picture: NDArray[Any], times: int) -> NDArray[Any]:
    height, width = (max(1, round(side / times)) for side in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def _narrow_pass(rgb: NDArray[np.uint8], alpha: Floats, fore: Floats, back: Floats) -> Floats:
    """Return the mean colour of the subject around each pixel, from the first pass's means.

    The paper averages the background over the narrow window too. Here it is the first pass's mean,
    which is nearly constant within a few pixels.
    """
    share = _three_channels(alpha)
    return _mean(_corrected(rgb, share, fore, back) * share, alpha, _NARROW, fore)


def _mean(weighted: Floats, weight: Floats, side: int, default: Floats) -> Floats:
    """Average premultiplied colours over a window; ``default`` where ``weight`` is zero."""
    per_weight = 1 / (cv2.blur(weight, (side, side)) + _EPSILON)
    mean = np.asarray(cv2.blur(weighted, (side, side)), np.float32)
    mean += _EPSILON * default
    mean *= _three_channels(np.asarray(per_weight, np.float32))
    return mean


def _corrected(
    rgb: NDArray[np.uint8], share: Floats, fore: Floats, back: Floats
) -> NDArray[np.uint8]:
    """Return the foreground colour: ``fore`` corrected by the picture's residual.

    With alpha ``a`` the paper's correction is ``F + a (I - a F - (1 - a) B)``, which is
    ``G + a (I - G)`` with ``G = F + a (F - B)``.

    Args:
        rgb: The picture ``I``.
        share: Alpha in three channels.
        fore: The estimate ``F``.
        back: The background ``B``.
    """
    moved = fore - back
    moved *= share
    moved += fore
    rest = np.asarray(cv2.subtract(rgb, moved, dtype=cv2.CV_32F), np.float32)
    rest *= share
    return np.asarray(cv2.add(rest, moved, dtype=cv2.CV_8U), np.uint8)


def _three_channels(plane: Floats) -> Floats:
    """Repeat ``(H, W)`` for three channels; products of equal shapes are twice as fast."""
    return np.asarray(cv2.merge((plane, plane, plane)), np.float32)


def _tiles(wanted: NDArray[np.uint8]) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns that enclose the nonzero pixels of each tile that has some."""
    for top in range(0, wanted.shape[0], _TILE):
        for left in range(0, wanted.shape[1], _TILE):
            x, y, width, height = cv2.boundingRect(wanted[top : top + _TILE, left : left + _TILE])
            if width:
                yield slice(top + y, top + y + height), slice(left + x, left + x + width)


@dataclass(frozen=True, slots=True)
class _Window:
    """The part of a smaller picture that covers a tile of the full one.

    Attributes:
        cells: Rows and columns of the smaller picture.
        size_wh: Their width and height in pixels of the full picture.
        tile: Rows and columns of the tile in those.
    """

    cells: tuple[slice, slice]
    size_wh: tuple[int, int]
    tile: tuple[slice, slice]

    def enlarged(self, part: Floats) -> Floats:
        """Return the tile at full size, given the window's cells."""
        if part.shape[1::-1] != self.size_wh:
            part = np.asarray(cv2.resize(part, self.size_wh), np.float32)
        return part[self.tile]


def _window(
    tile: tuple[slice, slice], full_hw: tuple[int, ...], small_hw: tuple[int, ...], margin: int
) -> _Window:
    """Return the window of a tile with ``margin`` more cells on each side.

    It may be off by half a pixel, which is negligible for means over many pixels.
    """
    (rows, height, y), (cols, width, x) = (
        _span(part, full, small, margin)
        for part, full, small in zip(tile, full_hw, small_hw, strict=False)
    )
    return _Window((rows, cols), (width, height), (y, x))


def _span(part: slice, full: int, small: int, margin: int) -> tuple[slice, int, slice]:
    """Return the cells that cover a part, their length in pixels, and the part in them."""
    scale = small / full
    first = max(math.floor(part.start * scale) - margin, 0)
    last = min(math.ceil(part.stop * scale) + margin, small)
    origin = round(first / scale)
    return (
        slice(first, last),
        round(last / scale) - origin,
        slice(part.start - origin, part.stop - origin),
    )
