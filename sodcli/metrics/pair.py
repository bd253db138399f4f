"""The two pictures that every metric compares."""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

FOREGROUND_ABOVE: Final = 128
"""A grey value above this is foreground, in the ground truth and in a map cut at half."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A saliency map and its ground truth, checked, in the form the metrics read.

    Attributes:
        grey: ``(H, W)`` uint8, the saliency map as an 8-bit picture, not yet min-max normalised.
        mask: ``(H, W)`` uint8, 1 on the foreground, 0 on the background.
    """

    grey: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def pair(pred: NDArray[Any], gt: NDArray[Any]) -> Pair:
    """Check a saliency map and its ground truth and bring them to one form.

    A floating-point map is rounded to the 256 grey levels of a saved one, so that scoring a
    model's output and scoring the files it wrote give the same numbers.

    Args:
        pred: ``(H, W)`` saliency map, uint8 or floating point in [0, 1].
        gt: ``(H, W)`` ground truth, uint8 (foreground where > 128) or bool.

    Raises:
        ValueError: If the sizes differ, a picture is empty or not two-dimensional, or a type or
            range is another one.
    """
    if pred.ndim != 2 or pred.size == 0:
        raise ValueError(f"a saliency map is (H, W) and not empty, this one is {pred.shape}")
    if pred.shape != gt.shape:
        raise ValueError(f"the saliency map is {pred.shape}, the ground truth {gt.shape}")
    return Pair(_grey(pred), _mask(gt))


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


def around(pair: Pair, margin: int) -> Pair:
    """Crop both pictures to the bounding box of the foreground and ``margin`` pixels around it."""
    rows, columns = _box(pair.mask, margin)
    return Pair(pair.grey[rows, columns], pair.mask[rows, columns])


def _box(mask: NDArray[np.uint8], margin: int) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect(mask)
    return (
        slice(max(0, top - margin), top + height + margin),
        slice(max(0, left - margin), left + width + margin),
    )
