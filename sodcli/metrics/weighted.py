"""Weighted F-measure (Margolin, Zelnik-Manor and Tal, CVPR 2014) with beta 1."""

from math import log
from typing import Final

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from sodcli.metrics.comparison import Comparison, JointHistogram, around
from sodcli.metrics.region import EPS

_WINDOW: Final = (7, 7)
_SIGMA: Final = 5.0
_DECAY: Final = log(0.5) / 5
_MARGIN: Final = 128
"""Distance in pixels at which the weight 2 - exp(_DECAY * distance) is within 2e-8 of 2."""

_FARTHEST: Final = 4.3
"""Slightly above sqrt(18), the distance from the centre of the 7x7 window to its corner."""

_REACH: Final = 4
"""Largest offset along one axis of a foreground pixel within ``_FARTHEST``."""


def _offsets() -> NDArray[np.intp]:
    """Return the offsets (dy, dx) for each squared distance 0..18, ``(19, 8, 2)``, in preference.

    Among equally near foreground pixels the reference (scipy's ``distance_transform_edt``) picks
    the leftmost and, within a column, the upper one. Short lists repeat their last entry.
    """
    reach = range(-_REACH, _REACH + 1)
    table = np.zeros((19, 8, 2), np.intp)
    for squared in range(1, len(table)):
        found = [(dy, dx) for dx in reach for dy in reach if dy**2 + dx**2 == squared]
        if found:
            table[squared] = found + found[-1:] * (8 - len(found))
    return table


_OFFSETS: Final = _offsets()


def weighted_f(comparison: Comparison, histogram: JointHistogram) -> float:
    """Weighted F-measure; 0 when there is no foreground.

    The distance to the foreground is exact. The nearest foreground pixel is only looked up for
    background pixels inside a 7x7 window around a foreground pixel; the others do not need it.
    """
    count = int(histogram.whole[1].sum())
    if count == 0:
        return 0.0
    near = around(comparison, _MARGIN)
    error = cv2.absdiff(
        cv2.LUT(near.grey, histogram.levels.astype(np.float32)), near.mask.astype(np.float32)
    )
    distance = _distance(near.mask)
    missed = _missed(error, distance, near.mask)
    false = 2 * histogram.moments(histogram.whole[0])[1] / histogram.low_span[1]
    false -= _sum(error * cv2.exp(distance * _DECAY), 1 - near.mask)
    recall = 1 - missed / count
    precision = (count - missed) / (count - missed + false + EPS)
    return 2 * recall * precision / (recall + precision + EPS)


def _distance(mask: NDArray[np.uint8]) -> MatLike:
    """Return each pixel's distance to the foreground, bitwise reproducible.

    Intel IPP, OpenCV's default where available, is slower here, and its last bit varies between
    calls. It is switched off for this thread only.
    """
    used = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    try:
        return cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    finally:
        cv2.ipp.setUseIPP(used)


def _missed(error: MatLike, distance: MatLike, mask: NDArray[np.uint8]) -> float:
    """Sum the error over the foreground: the minimum of raw and smoothed error (equation 11).

    Before smoothing, each background pixel takes the error of its nearest foreground pixel.
    """
    spread = cv2.copyTo(error, mask)
    covered = np.flatnonzero((distance > 0) & (distance < _FARTHEST))
    squared = np.rint(distance.ravel()[covered] ** 2).astype(np.intp)
    source = covered + _nearest(mask, covered, squared)
    spread.ravel()[covered] = error.ravel()[source]
    eased = cv2.GaussianBlur(spread, _WINDOW, _SIGMA, borderType=cv2.BORDER_CONSTANT)
    return _sum(cv2.min(error, eased), mask)


def _nearest(
    mask: NDArray[np.uint8], pixels: NDArray[np.intp], squared: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Find the nearest foreground pixel of pixels with known squared distance to the foreground.

    Args:
        mask: ``(H, W)``, 1 on the foreground.
        pixels: ``(N,)`` indices into the flat mask.
        squared: ``(N,)`` squared distances, at most 18.

    Returns:
        ``(N,)`` flat offsets from each pixel to its nearest foreground pixel.
    """
    width = mask.shape[1]
    # Pad with background, so that offsets beyond the border match nothing.
    framed = cv2.copyMakeBorder(mask, *4 * (_REACH,), cv2.BORDER_CONSTANT, value=0)
    rows = pixels // width
    here = pixels + 2 * _REACH * rows + framed.shape[1] * _REACH + _REACH
    there = (_OFFSETS @ (framed.shape[1], 1))[squared]
    first = framed.ravel()[here[:, None] + there].argmax(axis=1)
    nearest: NDArray[np.intp] = (_OFFSETS @ (width, 1))[squared, first]
    return nearest


def _sum(values: MatLike, mask: NDArray[np.uint8]) -> float:
    """Sum ``values`` where ``mask`` is not 0, in float64."""
    return cv2.mean(values, mask)[0] * cv2.countNonZero(mask)
