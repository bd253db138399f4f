"""Read pictures and masks as arrays."""

import warnings
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sodcli.data.pairs import Pair, PairList
from sodcli.errors import SourceError
from sodcli.files import read_regular
from sodcli.files.reading import MAX_BYTES, MAX_PIXELS
from sodcli.text import reason_of, shortened

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = (b"tRNS", b"eXIf")  # transparency and orientation


def picture_size(path: Path) -> tuple[int, int]:
    """Return (height, width) in pixels from the header of a picture file, without decoding it.

    Raises:
        SourceError: If it cannot be read, or is too large.
    """
    try:
        return _size(path)
    except Image.DecompressionBombError as error:
        raise SourceError(_too_large(path)) from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or 'is damaged or no picture'}") from error
    except Exception as error:  # Pillow raises many types on damaged files
        raise SourceError(f"{path}: is damaged or no picture") from error


def checked(data: bytes, path: Path) -> bytes:
    """Return the bytes of a picture file in a form that OpenCV decodes without printing warnings.

    Ancillary chunks of a PNG file, which libpng warns about, are removed. Its checksums are
    checked.

    Args:
        data: The whole file. Formats that Pillow does not know are returned unchanged.
        path: Its name in messages.

    Raises:
        SourceError: If it is a damaged PNG, or has more than ``MAX_PIXELS`` pixels.
    """
    core = _png_core(data) if data.startswith(_PNG) else data
    try:
        height, width = _size(BytesIO(core))
    except Image.DecompressionBombError as error:
        raise SourceError(_too_large(path)) from error
    except Exception as error:
        if data.startswith(_PNG):
            raise SourceError(f"{path}: is damaged or no picture") from error
        return data
    if height * width > MAX_PIXELS:
        raise SourceError(_too_large(path))
    return core


def _png_core(data: bytes) -> bytes:
    """Return a PNG file without ancillary chunks; empty if it is truncated or a checksum fails.

    Slightly invalid profiles and comments are common, and libpng prints a warning for each.
    """
    kept, at = [data[: len(_PNG)]], len(_PNG)
    while at + 12 <= len(data):
        kind = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(
            data[end - 4 : end]
        ):
            return b""
        if kind[:1].isupper() or kind in _KEPT:
            kept.append(data[at:end])
        if kind == b"IEND":
            return b"".join(kept)
        at = end
    return b""


def _size(file: Path | BytesIO) -> tuple[int, int]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with Image.open(file) as picture:
            return picture.height, picture.width


def _too_large(path: Path) -> str:
    return f"{path}: is larger than {MAX_PIXELS} pixels"


Pixels = NDArray[np.integer[Any] | np.floating[Any]]

# OpenCV's messages about damaged files do not name the file; ours do.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
_JPEG = b"\xff\xd8"


def read_image(path: Path, *, upright: bool = True) -> NDArray[np.uint8]:
    """Read a picture as ``(H, W, 3)`` uint8 RGB.

    Args:
        path: File of any format that OpenCV reads.
        upright: Apply the EXIF orientation; otherwise return the picture as stored.

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
    """Read a picture and its mask, both of the same size.

    If the sizes differ with the EXIF orientation applied, the picture is read as stored: some
    masks are drawn on the stored picture.

    Returns:
        ``(H, W, 3)`` uint8 RGB and ``(H, W)`` float32 in [0, 1].

    Raises:
        SourceError: If one cannot be read, or their sizes differ; it names the file.
    """
    image, mask = read_image(pair.image), read_mask(pair.mask)
    if image.shape[:2] != mask.shape:
        image = read_image(pair.image, upright=False)
    if image.shape[:2] != mask.shape:
        raise SourceError(f"{pair.mask}: is {_size_text(mask)}, its picture {_size_text(image)}")
    return image, mask


def read_stored(path: Path) -> Pixels:
    """Read a picture as stored: grey, BGR or BGRA, of any dtype that OpenCV reads.

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
        flags = cv2.IMREAD_GRAYSCALE  # JPEG has no alpha, and this flag applies EXIF orientation
    try:
        pixels = None if _cut_short(data) else cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise SourceError(f"{path}: is damaged or no picture")
    return pixels


def _cut_short(data: bytes) -> bool:
    """Return True for an empty file and for a JPEG without its end, which OpenCV would fill up."""
    return not data or (
        data.startswith(_JPEG) and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    )


def one_channel(pixels: Pixels) -> Pixels:
    """Return ``(H, W)`` of a stored picture: its alpha channel if that varies, else its grey."""
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 4 and np.ptp(pixels[..., 3]) > 0:
        return pixels[..., 3]
    return cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY)


def _size_text(pixels: Pixels) -> str:
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
