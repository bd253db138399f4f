"""Pictures and masks as arrays, read the way that training needs them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.data.image_size import checked
from sodcli.data.pairs import Pair, PairList
from sodcli.errors import SourceError
from sodcli.files import read_regular
from sodcli.files.reading import MAX_BYTES
from sodcli.text import reason_of, shortened

Pixels = NDArray[np.integer[Any] | np.floating[Any]]

# What OpenCV says of a damaged file is for its developers.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
_JPEG = b"\xff\xd8"


def read_image(path: Path, *, upright: bool = True) -> NDArray[np.uint8]:
    """Read a picture as ``(H, W, 3)`` uint8 RGB.

    Args:
        path: File of any format that OpenCV reads.
        upright: Turn it as its EXIF orientation says; otherwise as it is stored.

    Raises:
        SourceError: If it cannot be read whole.
    """
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(cv2.cvtColor(_decoded(path, flags), cv2.COLOR_BGR2RGB), np.uint8)


def read_mask(path: Path) -> NDArray[np.float32]:
    """Read a mask as ``(H, W)`` float32 in [0, 1].

    Colours and palettes count as the grey they show. Where transparency varies it is the mask (a
    cut-out); where it does not it is ignored. An integer file whose greatest value is 1 holds
    classes 0 and 1, so 1 becomes 1.0; any other counts as shares of its type's greatest value.

    Raises:
        SourceError: If it cannot be read whole.
    """
    grey = one_channel(read_stored(path))
    classes = np.issubdtype(grey.dtype, np.floating) or grey.max() == 1
    top = 1 if classes else np.iinfo(grey.dtype.name).max
    return np.asarray(np.multiply(grey, 1 / top, dtype=np.float32).clip(0, 1))


def read_pair(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read a picture and its mask, of one size.

    A mask drawn on the picture as stored, before its EXIF turn, is understood as that.

    Returns:
        ``(H, W, 3)`` uint8 RGB and ``(H, W)`` float32 in [0, 1].

    Raises:
        SourceError: If one cannot be read, or their sizes differ; it names the file.
    """
    image, mask = read_image(pair.image), read_mask(pair.mask)
    if image.shape[:2] != mask.shape:
        image = read_image(pair.image, upright=False)
    if image.shape[:2] != mask.shape:
        raise SourceError(f"{pair.mask}: is {_size(mask)}, its picture {_size(image)}")
    return image, mask


def read_stored(path: Path) -> Pixels:
    """Read a picture as it is stored: grey, BGR or BGRA, of any type OpenCV knows.

    Raises:
        SourceError: If it cannot be read whole.
    """
    return _decoded(path, cv2.IMREAD_UNCHANGED)


def _decoded(path: Path, flags: int) -> Pixels:
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise SourceError(f"{path}: {reason_of(error)}") from error
    data = checked(data, path)
    if flags == cv2.IMREAD_UNCHANGED and data.startswith(_JPEG):
        flags = cv2.IMREAD_GRAYSCALE  # no transparency to keep, and this one heeds EXIF
    try:
        pixels = None if _cut_short(data) else cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # what OpenCV says here is for its developers
        pixels = None
    if pixels is None:
        raise SourceError(f"{path}: is damaged or no picture")
    return pixels


def _cut_short(data: bytes) -> bool:
    """Return whether there is nothing, or a JPEG without its end: older OpenCVs fill it up."""
    return not data or (
        data.startswith(_JPEG) and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    )


def one_channel(pixels: Pixels) -> Pixels:
    """Return ``(H, W)`` of a stored picture: its transparency where that varies, else its grey."""
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 4 and np.ptp(pixels[..., 3]) > 0:
        return pixels[..., 3]
    return cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY)


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]} px"


def check_pairs(pairs: Sequence[Pair]) -> PairList:
    """Drop the pairs that cannot be read, and report them and the masks that look wrong.

    An all-black mask is legal (nothing stands out) and stays; so does one that is nowhere brighter
    than half, although it is more often a map of class numbers.

    Returns:
        The readable pairs in their order; per kind of fault a line with a count and a few names.
    """
    good: list[Pair] = []
    damaged: list[str] = []
    faint: list[str] = []
    black: list[str] = []
    for pair in pairs:
        try:
            brightest = read_pair(pair)[1].max()
        except SourceError as error:
            damaged.append(str(error))
            continue
        good.append(pair)
        if brightest < 0.5:
            (faint if brightest > 0 else black).append(str(pair.mask))
    kinds = {
        "pairs left out": damaged,
        "masks are all black (kept: nothing stands out)": black,
        "masks are nowhere brighter than half (kept; are they class numbers?)": faint,
    }
    return PairList(
        tuple(good),
        tuple(f"{len(names)} {kind}: {shortened(names)}" for kind, names in kinds.items() if names),
    )
