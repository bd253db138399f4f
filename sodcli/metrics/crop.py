"""The part of an image that lies around the foreground."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.metrics.pair import Pair


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
