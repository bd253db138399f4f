"""One joint histogram per image, from which MAE, F, E and S follow without another look at it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.metrics.pair import Pair

Counts = NDArray[np.int64]
_GREY: Final = np.arange(256, dtype=np.int64)
_EXACT_IN_FLOAT32: Final = 2**24


@dataclass(frozen=True, eq=False)
class Tally:
    """How many pixels have which grey level, by quadrant and by ground truth.

    Attributes:
        counts: ``(4, 2, 256)`` int64: quadrant around the ground truth's centroid (top left, top
            right, bottom left, bottom right), background or foreground, grey level.
        stretch: Whether saliency is the grey level after min-max normalisation.
    """

    counts: Counts
    stretch: bool = True

    @cached_property
    def whole(self) -> Counts:
        """Counts of the whole image, ``(2, 256)``: background, foreground."""
        whole: Counts = self.counts.sum(axis=0)
        return whole

    @cached_property
    def low_span(self) -> tuple[int, int]:
        """Lowest grey level and width of the range that is mapped to [0, 1].

        A constant map is not stretched: it keeps its value.
        """
        if not self.stretch:
            return 0, 255
        used = np.flatnonzero(self.whole.any(axis=0))
        low, high = int(used[0]), int(used[-1])
        return (low, high - low) if high > low else (0, 255)

    @cached_property
    def steps(self) -> Counts:
        """Grey levels counted from the lowest: the saliency of level ``v`` is steps[v] / span."""
        return _GREY - self.low_span[0]

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """Saliency in [0, 1] of each grey level, ``(256,)``.

        Rounded as min-max of ``grey / 255`` in floating point rounds it, because the curves cut
        255 times this value to an integer.
        """
        low, span = self.low_span
        unit = _GREY / 255
        stretched = unit if span == 255 else (unit - unit[low]) / (unit[low + span] - unit[low])
        return np.clip(stretched, 0.0, 1.0)

    def moments(self, counts: Counts) -> tuple[int, int, int]:
        """Sum 1, s and s squared over the pixels in ``counts`` (256,), s in ``steps``; exact."""
        return int(counts.sum()), int(counts @ self.steps), int(counts @ self.steps**2)


def tally(pair: Pair) -> Tally:
    """Count the pixels of ``pair`` by quadrant, ground truth and grey level."""
    row, column = _centre(pair.mask)
    parts = [
        _joint(pair.grey[rows, columns], pair.mask[rows, columns])
        for rows in (slice(0, row), slice(row, None))
        for columns in (slice(0, column), slice(column, None))
    ]
    return Tally(np.stack(parts))


def _centre(mask: NDArray[np.uint8]) -> tuple[int, int]:
    """Return first row and column after the foreground's centroid; the size when there is none."""
    rows, columns = (mask.sum(axis=axis, dtype=np.uint32) for axis in (1, 0))
    count = int(rows.sum())
    if count == 0:
        return mask.shape[0], mask.shape[1]
    # Python's round and numpy's agree: halves go to the even neighbour.
    row, column = (round(int(sums @ np.arange(sums.size)) / count) for sums in (rows, columns))
    return row + 1, column + 1


def _joint(grey: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Counts:
    """Count grey levels on the background and on the foreground, ``(2, 256)``."""
    foreground = _histogram(grey, mask)
    return np.stack([_histogram(grey, None) - foreground, foreground])


def _histogram(grey: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> Counts:
    counts = np.zeros(256, np.int64)
    if grey.size == 0:
        return counts
    # OpenCV counts in float32, so a large image goes in bands whose counts are exact.
    band = max(1, _EXACT_IN_FLOAT32 // grey.shape[1])
    for top in range(0, grey.shape[0], band):
        part = None if mask is None else mask[top : top + band]
        found = cv2.calcHist([grey[top : top + band]], [0], part, [256], [0, 256])
        counts += found.ravel().astype(np.int64)
    return counts
