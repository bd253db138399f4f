"""Read pictures from a file, a pipe or memory."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from PIL import ExifTags

from sodcli.errors import SourceError
from sodcli.files import open_regular
from sodcli.files.reading import MAX_BYTES, MAX_PIXELS
from sodcli.frame import Frame
from sodcli.io.pictures.decode import DAMAGE, HEAD_BYTES, decode, reader_of
from sodcli.text import display_name, reason_of

_CHUNK_BYTES: Final = 2**20


def read_picture(path: Path, *, index: int = 0, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a picture file; the format is detected from its content, not its name.

    EXIF orientation is applied, 16-bit pixels are scaled to 8-bit, and palette, grey and CMYK
    pixels are converted to RGB.

    Args:
        path: PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF (first frame), PPM, or HEIC if pillow-heif is
            installed.
        index: The frame's ``index``.
        max_pixels: Larger pictures are rejected before they are decoded.

    Returns:
        A frame named after the file's stem; ``alpha`` is set only if some pixel is not opaque.

    Raises:
        SourceError: If it cannot be read; the message is one line that begins with the path.
    """
    label = display_name(path)
    with _opened(path, label) as file:
        data = _read_all(file, label)
    return decode_picture(data, name=path.stem, index=index, origin=path, max_pixels=max_pixels)


def check_file(path: Path, *, picture: bool) -> None:
    """Check that a file exists, is not empty and can be opened, without reading all of it.

    Args:
        path: A picture or film.
        picture: Also check that its first bytes are those of a picture.

    Raises:
        SourceError: If a check fails; the message is one line that begins with the path.
    """
    label = display_name(path)
    with _opened(path, label) as file:
        head = _head(file, label)
    if picture:
        reader_of(head, label)


def read_software(path: Path) -> str:
    """Return what made a picture, from its EXIF block; empty if it does not say or is damaged."""
    with suppress(SourceError, *DAMAGE), open_regular(path) as file:
        reader = reader_of(file.read(HEAD_BYTES), path.name)
        file.seek(0)
        with reader(file) as image:
            return str(image.getexif().get(ExifTags.Base.Software, ""))
    return ""


def read_stream(stream: BinaryIO, *, name: str) -> Frame:
    """Read one picture from a pipe, up to the end of the stream.

    Args:
        stream: The pipe.
        name: The frame's ``name``, also used in messages.

    Raises:
        SourceError: If it cannot be read; the message is one line that begins with ``name``.
    """
    return decode_picture(_read_all(stream, name), name=name)


def decode_picture(
    data: bytes,
    *,
    name: str,
    index: int = 0,
    origin: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Frame:
    """Decode the bytes of a picture file.

    Args:
        data: The whole file.
        name: The frame's ``name``.
        index: The frame's ``index``.
        origin: The frame's ``origin``.
        max_pixels: Larger pictures are rejected before they are decoded.

    Raises:
        SourceError: If the data is not a picture, is damaged or too large.
    """
    label = display_name(origin or name)
    if not data:
        raise SourceError(f"{label}: empty file")
    raster = decode(data, label, max_pixels)
    return Frame(
        raster.rgb,
        index,
        name,
        origin=origin,
        alpha=raster.alpha,
        icc=raster.icc,
        dpi=raster.dpi,
        pages=raster.pages,
    )


@contextmanager
def _opened(path: Path, label: str) -> Iterator[BinaryIO]:
    """Open a file; any ``OSError`` until it is closed becomes a ``SourceError`` of one line."""
    try:
        with open_regular(path) as file:
            yield file
    except FileNotFoundError as error:
        raise SourceError(f"{label}: no such file") from error
    except IsADirectoryError as error:
        raise SourceError(f"{label}: is a folder") from error
    except OSError as error:
        raise SourceError(f"{label}: {reason_of(error).lower()}") from error


def _head(stream: BinaryIO, label: str) -> bytes:
    head = stream.read(HEAD_BYTES)
    if not head:
        raise SourceError(f"{label}: empty file")
    return head


def _read_all(stream: BinaryIO, label: str) -> bytes:
    """Read the whole stream; stop after the first bytes if they are not those of a picture."""
    head = _head(stream, label)
    reader_of(head, label)
    chunks = [head]
    left = MAX_BYTES - len(head)
    while chunk := stream.read(_CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            raise SourceError(f"{label}: larger than {MAX_BYTES // 2**20} MiB")
        chunks.append(chunk)
    return b"".join(chunks)
