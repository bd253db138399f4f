"""The size of a picture, as the head of its file says it, before anything is unpacked."""

import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from sodcli.errors import SourceError
from sodcli.files.reading import MAX_PIXELS

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = (b"tRNS", b"eXIf")  # transparency and orientation


def picture_size(path: Path) -> tuple[int, int]:
    """Return height and width in pixels as the head of a picture file says them.

    Raises:
        SourceError: If it cannot be read, or is too large.
    """
    try:
        return _size(path)
    except Image.DecompressionBombError as error:
        raise SourceError(_too_large(path)) from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or 'is damaged or no picture'}") from error
    except Exception as error:  # Pillow raises anything at all on a damaged file
        raise SourceError(f"{path}: is damaged or no picture") from error


def checked(data: bytes, path: Path) -> bytes:
    """Return a picture file as OpenCV's libraries take it without a word on the terminal.

    Of a PNG file that is the part that makes up the picture, its checksums compared.

    Args:
        data: The file; what Pillow does not know passes, for OpenCV to judge.
        path: What it is called in messages.

    Raises:
        SourceError: If it is a damaged PNG, or has more pixels than anybody has a mask for.
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
    """Return a PNG file without its comments; nothing if it is cut short or has a wrong checksum.

    Profiles and comments that are a little wrong are common, and libpng complains of each.
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
