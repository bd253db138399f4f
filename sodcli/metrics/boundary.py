"""Mean boundary accuracy, mBA (Cheng et al., CascadePSP, CVPR 2020, section 4.1)."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.metrics.pair import FOREGROUND_ABOVE, Pair, around

_STEPS: Final = 5


def boundary_accuracy(pair: Pair) -> float | None:
    """Accuracy of the map, cut at half and not min-max normalised, near the true boundary.

    Mean over five bands of growing width; None when the ground truth is all black or all white
    and so has no boundary.
    """
    if pair.mask.all() or not pair.mask.any():
        return None
    radii = _radii(*pair.mask.shape)
    near = around(pair, max(radii))
    right = ((near.grey > FOREGROUND_ABOVE) == near.mask).view(np.uint8)
    accuracy = {radius: _accuracy(right, near.mask, radius) for radius in set(radii)}
    return sum(accuracy[radius] for radius in radii) / _STEPS


def _radii(height: int, width: int) -> list[int]:
    """Band radii in pixels, from 1 up to almost 1/300 of the half perimeter."""
    growth = ((width + height) / 300 - 1) / _STEPS
    return [1 + int(growth * step) for step in range(_STEPS)]


def _accuracy(right: NDArray[np.uint8], mask: NDArray[np.uint8], radius: int) -> float:
    """Share of right pixels in the band: where the element meets foreground and background."""
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    band = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, element)
    return cv2.countNonZero(cv2.bitwise_and(band, right)) / cv2.countNonZero(band)
