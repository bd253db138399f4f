"""The saliency map and ground truth that every measure compares, and their joint histogram."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

FOREGROUND_ABOVE: Final = 128
"""Grey values above this are foreground, in ground truth and in maps binarised at one half."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A validated saliency map and its ground truth, as the metrics take them.

    Attributes:
        grey: ``(H, W)`` uint8, the saliency map as an 8-bit picture, before min-max normalisation.
        mask: ``(H, W)`` uint8, 1 on the foreground, 0 on the background.
    """

    grey: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def make_comparison(pred: NDArray[Any], gt: NDArray[Any]) -> Comparison:
    """Validate a saliency map and its ground truth and convert both to uint8.

    A floating-point map is rounded to 256 grey levels, so that the scores of a model's output
    equal those of the saved files.

    Args:
        pred: ``(H, W)`` saliency map, uint8 or floating point in [0, 1].
        gt: ``(H, W)`` ground truth, uint8 (foreground where > 128) or bool.

    Raises:
        ValueError: If the sizes differ, a picture is empty or not two-dimensional, or a dtype or
            value range is not supported.
    """
    if pred.ndim != 2 or pred.size == 0:
        raise ValueError(f"a saliency map is (H, W) and not empty, this one is {pred.shape}")
    if pred.shape != gt.shape:
        raise ValueError(f"the saliency map is {pred.shape}, the ground truth {gt.shape}")
    return Comparison(_grey(pred), _mask(gt))


def _grey(pred: NDArray[Any]) -> NDArray[np.uint8]:
    if pred.dtype == np.uint8:
        return np.ascontiguousarray(pred)
    if not np.issubdtype(pred.dtype, np.floating):
        raise ValueError(f"a saliency map is uint8 or floating point, this one is {pred.dtype}")
    if not (pred.min() >= 0 and pred.max() <= 1):  # false for NaN, too
        raise ValueError("a floating-point saliency map has values in [0, 1] only")
    return np.ascontiguousarray(np.rint(pred.astype(np.float32) * 255).astype(np.uint8))


def _mask(gt: NDArray[Any]) -> NDArray[np.uint8]:
    if gt.dtype == np.uint8:
        gt = gt > FOREGROUND_ABOVE
    elif gt.dtype != np.bool_:
        raise ValueError(f"a ground truth is uint8 or bool, this one is {gt.dtype}")
    return np.ascontiguousarray(gt).view(np.uint8)


def around(comparison: Comparison, margin: int) -> Comparison:
    """Crop both pictures to the bounding box of the foreground, extended by ``margin`` pixels."""
    left, top, width, height = cv2.boundingRect(comparison.mask)
    rows = slice(max(0, top - margin), top + height + margin)
    columns = slice(max(0, left - margin), left + width + margin)
    return Comparison(comparison.grey[rows, columns], comparison.mask[rows, columns])


Counts = NDArray[np.int64]
_GREY: Final = np.arange(256, dtype=np.int64)
_EXACT_IN_FLOAT32: Final = 2**24


@dataclass(frozen=True, eq=False)
class JointHistogram:
    """Grey-level histogram by quadrant and ground-truth class.

    Attributes:
        counts: ``(4, 2, 256)`` int64; axes: quadrant around the ground truth's centroid (top left,
            top right, bottom left, bottom right), background or foreground, grey level.
        stretch: Whether the grey levels are min-max normalised.
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

        A constant map is not normalised and keeps its value.
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

        The rounding is that of min-max normalising ``grey / 255`` in floating point, because the
        curves truncate 255 times this value to an integer.
        """
        low, span = self.low_span
        unit = _GREY / 255
        stretched = unit if span == 255 else (unit - unit[low]) / (unit[low + span] - unit[low])
        return np.clip(stretched, 0.0, 1.0)

    def moments(self, counts: Counts) -> tuple[int, int, int]:
        """Return the exact sums of 1, s and s**2 over ``counts`` (256,), with s from ``steps``."""
        return int(counts.sum()), int(counts @ self.steps), int(counts @ self.steps**2)


def joint_histogram(comparison: Comparison) -> JointHistogram:
    """Count the pixels of ``comparison`` by quadrant, ground truth and grey level."""
    row, column = _centre(comparison.mask)
    parts = [
        _joint(comparison.grey[rows, columns], comparison.mask[rows, columns])
        for rows in (slice(0, row), slice(row, None))
        for columns in (slice(0, column), slice(column, None))
    ]
    return JointHistogram(np.stack(parts))


def _centre(mask: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the first row and column after the foreground's centroid; without one, the size."""
    rows, columns = (mask.sum(axis=axis, dtype=np.uint32) for axis in (1, 0))
    count = int(rows.sum())
    if count == 0:
        return mask.shape[0], mask.shape[1]
    # Like numpy, Python's round rounds halves to even.
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
    # OpenCV counts in float32, so large images are counted in bands small enough to be exact.
    band = max(1, _EXACT_IN_FLOAT32 // grey.shape[1])
    for top in range(0, grey.shape[0], band):
        part = None if mask is None else mask[top : top + band]
        found = cv2.calcHist([grey[top : top + band]], [0], part, [256], [0, 256])
        counts += found.ravel().astype(np.int64)
    return counts
