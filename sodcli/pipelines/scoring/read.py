"""Maps and ground truth as 8-bit pictures, and what was unusual about their files."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.data.read import Pixels, one_channel, read_stored

Oddity = Literal["colour", "transparent", "deep", "resized", "grey truth"]
Grey = tuple[NDArray[np.uint8], frozenset[Oddity]]


def read_map(path: Path) -> Grey:
    """Read a saliency map as ``(H, W)`` uint8.

    Colour counts as the grey it shows, 16-bit and floating-point maps are rounded to 256 levels,
    and where transparency varies it is the map (a cut-out).

    Raises:
        SourceError: If it cannot be read whole.
    """
    pixels = read_stored(path)
    levels = _eight_bits(one_channel(pixels))
    return levels, _oddities(pixels)


def read_truth(path: Path) -> Grey:
    """Read ground truth as ``(H, W)`` uint8; where its greatest value is 1, that is foreground.

    It is odd where it is neither black and white nor of the classes 0 and 1.

    Raises:
        SourceError: If it cannot be read whole.
    """
    pixels = read_stored(path)
    grey = one_channel(pixels)
    if grey.max() == 1:
        grey = grey * np.array(_white(grey), grey.dtype)
    levels = _eight_bits(grey)
    black, white = (cv2.countNonZero((levels == value).view(np.uint8)) for value in (0, 255))
    return levels, frozenset({"grey truth"} if black + white < levels.size else ())


def fitted(grey: NDArray[np.uint8], size_hw: tuple[int, ...]) -> NDArray[np.uint8]:
    """Resize a map bilinearly to ``(height, width)``."""
    return np.asarray(cv2.resize(grey, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _white(grey: Pixels) -> int:
    return 1 if np.issubdtype(grey.dtype, np.floating) else int(np.iinfo(grey.dtype.name).max)


def _eight_bits(grey: Pixels) -> NDArray[np.uint8]:
    if grey.dtype == np.uint8:
        return np.asarray(grey, np.uint8)
    share = np.nan_to_num(np.multiply(grey, 1 / _white(grey), dtype=np.float32)).clip(0, 1)
    return np.asarray(np.rint(share * 255), np.uint8)


def _oddities(pixels: Pixels) -> frozenset[Oddity]:
    found: set[Oddity] = set()
    if pixels.dtype != np.uint8:
        found.add("deep")
    if pixels.ndim == 3:
        if pixels.shape[2] == 4 and np.ptp(pixels[..., 3]) > 0:
            found.add("transparent")
        elif (pixels[..., :3] != pixels[..., :1]).any():
            found.add("colour")
    return frozenset(found)
