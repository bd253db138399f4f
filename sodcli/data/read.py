"""Read pictures, for training, testing and scoring alike."""

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sodcli.errors import SourceError
from sodcli.files import read_regular
from sodcli.files.reading import MAX_BYTES, MAX_PIXELS
from sodcli.io.pictures.decode import HEAD_BYTES, decode
from sodcli.io.pictures.heic import begins_heic, heic_reader
from sodcli.text import reason_of

Pixels = NDArray[np.integer[Any] | np.floating[Any]]

# OpenCV's messages about damaged files do not name the file; the exceptions raised here do.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
_JPEG: Final = b"\xff\xd8"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = (b"tRNS", b"eXIf")  # transparency and orientation
_COLOUR_ABOVE: Final = 32  # a pixel is coloured if its channels differ by more, of 255
_COLOUR_SHARE: Final = 1e-4  # minimum share of coloured pixels in a colour picture


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A picture as its file stores it.

    Attributes:
        pixels: ``(H, W)`` grey, ``(H, W, 3)`` BGR or ``(H, W, 4)`` BGRA, of any dtype that OpenCV
            reads; ``(H, W)`` uint8 indices if ``palette`` is given.
        palette: ``(256, 3)`` uint8 RGB colours of the indices; None without a palette and for a
            grey palette, which is read as grey.
    """

    pixels: Pixels
    palette: NDArray[np.uint8] | None = None


def read_image(path: Path, *, upright: bool = True) -> NDArray[np.uint8]:
    """Read a picture as ``(H, W, 3)`` uint8 RGB.

    Args:
        path: File of any format that ``sod infer`` reads.
        upright: Apply the EXIF orientation; otherwise return the picture as stored. AVIF, HEIC
            and TIFF turned by a quarter are always upright.

    Raises:
        SourceError: If it cannot be read completely.
    """
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = _decoded(_checked_bytes(path), path, flags)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def read_stored(path: Path, max_pixels: int = MAX_PIXELS) -> Stored:
    """Read a picture as stored.

    Raises:
        SourceError: If it cannot be read completely, or has more than ``max_pixels`` pixels.
    """
    data = _checked_bytes(path, max_pixels)
    indexed = _indexed(data)
    if indexed is not None:
        return indexed
    flags = cv2.IMREAD_UNCHANGED
    if data.startswith(_JPEG):  # no alpha; these flags, unlike UNCHANGED, apply EXIF orientation
        colour = _decoded(data, path, cv2.IMREAD_COLOR)
        if is_coloured(colour):
            return Stored(colour)
        flags = cv2.IMREAD_GRAYSCALE
    return Stored(_decoded(data, path, flags))


def picture_size(path: Path) -> tuple[int, int]:
    """Return (height, width) in pixels from the header of a picture file, without decoding it.

    Raises:
        SourceError: If it cannot be read, or is too large.
    """
    try:
        with _opened(path) as picture:
            return picture.height, picture.width
    except Image.DecompressionBombError as error:
        raise SourceError(_too_large(path)) from error
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or 'is damaged or no picture'}") from error
    except Exception as error:  # Pillow raises many types on damaged files
        raise SourceError(f"{path}: is damaged or no picture") from error


def checked(data: bytes, path: Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return the bytes of a picture file in a form that OpenCV decodes without printing warnings.

    Ancillary chunks of a PNG file, which libpng warns about, are removed. Its checksums are
    checked.

    Args:
        data: The whole file. Formats that Pillow does not know are returned unchanged.
        path: Its name in messages.
        max_pixels: Larger pictures are refused.

    Raises:
        SourceError: If it is a damaged PNG, or has more than ``max_pixels`` pixels.
    """
    core = _png_core(data) if data.startswith(_PNG) else data
    try:
        with _opened(BytesIO(core)) as picture:
            pixels = picture.height * picture.width
    except Image.DecompressionBombError as error:
        raise SourceError(_too_large(path, max_pixels)) from error
    except Exception as error:
        if data.startswith(_PNG):
            raise SourceError(f"{path}: is damaged or no picture") from error
        return data
    if pixels > max_pixels:
        raise SourceError(_too_large(path, max_pixels))
    return core


def is_coloured(pixels: Pixels) -> bool:
    """Return True unless the channels of ``(H, W, 3)`` are equal up to compression errors."""
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    return bool((spread > _COLOUR_ABOVE).mean() > _COLOUR_SHARE)


def size_text(pixels: Pixels) -> str:
    """Return ``640x480 px``."""
    return f"{pixels.shape[1]}x{pixels.shape[0]} px"


def _checked_bytes(path: Path, max_pixels: int = MAX_PIXELS) -> bytes:
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise SourceError(f"{path}: {reason_of(error)}") from error
    return checked(data, path, max_pixels)


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


@contextmanager
def _opened(file: Path | BytesIO) -> Iterator[Image.Image]:
    """Open a picture with Pillow without decoding it; HEIC needs pillow-heif."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        if isinstance(file, Path):
            with file.open("rb") as head:
                heic = begins_heic(head.read(HEAD_BYTES))
        else:
            heic = begins_heic(file.getvalue()[:HEAD_BYTES])
        with heic_reader(str(file))(file) if heic else Image.open(file) as picture:
            yield picture


def _indexed(data: bytes) -> Stored | None:
    """Return the indices and colours of a picture with a colour palette and no transparency."""
    try:
        with _opened(BytesIO(data)) as picture:
            if picture.mode != "P" or picture.has_transparency_data:
                return None
            indices = np.array(picture)
            colours = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    except Exception:  # noqa: BLE001 - the decoder reports what is wrong with the file
        return None
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colours)] = colours
    used = palette[np.unique(indices)]
    return Stored(indices, palette) if np.ptp(used, axis=1).any() else None


def _decoded(data: bytes, path: Path, flags: int) -> Pixels:
    """Decode with OpenCV or, where it does not know the format, as ``sod infer`` does."""
    try:
        pixels = None if _cut_short(data) else cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        pixels = _decoded_by_pillow(data, path)
    return pixels


def _decoded_by_pillow(data: bytes, path: Path) -> Pixels:
    if not data or data.startswith((_JPEG, _PNG, b"BM")):  # OpenCV reads these if they are sound
        raise SourceError(f"{path}: is damaged or no picture")
    try:
        raster = decode(data, str(path), MAX_PIXELS)
    except SourceError as error:
        needs = "pillow-heif" in str(error)
        raise (error if needs else SourceError(f"{path}: is damaged or no picture")) from error
    bgr = raster.rgb[..., ::-1]
    return np.ascontiguousarray(bgr if raster.alpha is None else np.dstack([bgr, raster.alpha]))


def _cut_short(data: bytes) -> bool:
    """Return True for an empty file or a truncated JPEG, which OpenCV would pad silently."""
    return not data or (
        data.startswith(_JPEG) and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    )


def _too_large(path: Path, max_pixels: int = MAX_PIXELS) -> str:
    return f"{path}: is larger than {max_pixels} pixels"
