"""Decode the bytes of a picture file into pixels; the format is detected from the content."""

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from typing import Final

from PIL import ExifTags, Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from sodcli.errors import SourceError
from sodcli.io.pictures import heic
from sodcli.io.pictures.cicp import code_points
from sodcli.io.pictures.colour import Raster, to_raster

HEAD_BYTES: Final = 64
_MOST_PAGES: Final = 1000
_MOST_DPI: Final = 65536
SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif")
)
"""Suffixes of pictures, apart from those of HEIC."""

# Pillow's readers are called directly, because Image.open applies the limit
# Image.MAX_IMAGE_PIXELS, which a program that imports sodcli may have changed.
_READERS: Final[tuple[tuple[re.Pattern[bytes], type[ImageFile]], ...]] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    (re.compile(rb"\xff\xd8\xff"), JpegImageFile),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), WebPImageFile),
    (re.compile(rb".{4}ftyp.{0,52}?avi[fs]", re.DOTALL), AvifImageFile),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), TiffImageFile),
    (re.compile(rb"BM"), BmpImageFile),
    (re.compile(rb"GIF8[79]a"), GifImageFile),
    (re.compile(rb"P[1-6]\s"), PpmImageFile),
)
_TURNS: Final = {  # EXIF orientation -> the transposition that makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DAMAGE: Final = (  # Pillow raises each of these for some damaged file
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    RuntimeError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
)


def decode(data: bytes, label: str, max_pixels: int) -> Raster:
    """Decode the first picture of a file and apply its EXIF orientation.

    Args:
        data: The whole file.
        label: The name of the file in messages.
        max_pixels: Larger pictures are rejected by their header, before any pixel is decoded.

    Raises:
        SourceError: If it is not a picture, is damaged or too large; the message is one line that
            begins with ``label``.
    """
    reader = reader_of(data[:HEAD_BYTES], label)
    with _without_pillow_warnings():
        try:
            image = reader(BytesIO(data))
            _check_size(image.width, image.height, label, max_pixels)
            _refuse_deep_planes(image)
            pages = _pages(image)
            image.load()
            _scale_transparency(image, data)
            upright = _upright(image)
            raster = to_raster(upright, _code_points(image, data))
            return replace(raster, dpi=_dpi(image, turned=upright.size != image.size), pages=pages)
        except Image.DecompressionBombError as error:
            raise SourceError(f"{label}: more pixels than --max-pixels or Pillow allows") from error
        except MemoryError as error:
            raise SourceError(f"{label}: not enough memory to read it") from error
        except DAMAGE as error:
            raise SourceError(f"{label}: {_damage(reader)}") from error


def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of readable pictures, with HEIC only if pillow-heif is installed."""
    return SUFFIXES | heic.SUFFIXES if heic.readable() else SUFFIXES


def reader_of(head: bytes, label: str) -> type[ImageFile]:
    """Return the Pillow class that reads a file with these first ``HEAD_BYTES`` bytes.

    Args:
        head: The first bytes of the file.
        label: The name of the file in messages.

    Raises:
        SourceError: If the format is not supported, or its reader is not installed.
    """
    for pattern, reader in _READERS:
        if pattern.match(head):
            return reader
    if heic.begins_heic(head):
        return heic.heic_reader(label)
    known = "PNG, JPEG, WebP, AVIF, TIFF, BMP"
    raise SourceError(f"{label}: not a picture sod can read ({known}); convert it to one first")


def _check_size(width: int, height: int, label: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise SourceError(
            f"{label}: {width}x{height} is more than {max_pixels} pixels;"
            " if you trust the file, raise --max-pixels"
        )


def _refuse_deep_planes(image: Image.Image) -> None:
    """Raise ``ValueError`` for uncompressed planar 16-bit TIFF, which Pillow decodes wrongly."""
    if isinstance(image, TiffImageFile):
        tags, tag = image.tag_v2, ExifTags.Base
        planar = tags.get(tag.PlanarConfiguration) == 2 and tags.get(tag.Compression, 1) == 1
        if planar and max(tags.get(tag.BitsPerSample, (1,))) > 8:
            raise ValueError("16-bit planes")


def _pages(image: ImageFile) -> int:
    """Return the number of pages of a TIFF file, without reduced pictures and masks; else 1."""
    pages = 1
    if isinstance(image, TiffImageFile):
        with suppress(*DAMAGE):  # EOFError after the last one
            for at in range(1, _MOST_PAGES):
                image.seek(at)
                pages += not image.tag_v2.get(ExifTags.Base.NewSubfileType, 0) & 0b101
        image.seek(0)
    return pages


def _scale_transparency(image: ImageFile, data: bytes) -> None:
    """Bring the transparent colour of a PNG to the 8 bits per sample that Pillow decodes to."""
    clear = image.info.get("transparency")
    if not isinstance(image, PngImageFile) or isinstance(clear, bytes | None):
        return
    depth = data[24]
    if image.mode == "RGB" and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    elif image.mode == "L" and depth < 8:
        image.info["transparency"] = clear * 255 // (2**depth - 1)


def _code_points(image: ImageFile, data: bytes) -> tuple[int, int] | None:
    """Return the code points of a picture's colour if they take precedence over its profile."""
    if isinstance(image, PngImageFile):
        return code_points(data)
    if "icc_profile" in image.info:
        return None
    if isinstance(image, AvifImageFile):
        return code_points(data)
    nclx = image.info.get("nclx_profile")  # from pillow-heif
    return nclx and (nclx["color_primaries"], nclx["transfer_characteristics"])


def _dpi(image: ImageFile, *, turned: bool) -> tuple[float, float] | None:
    """Return horizontal and vertical pixels per inch of the upright picture, if they are given."""
    with suppress(*DAMAGE):
        dpi = image.info.get("dpi") or _dpi_of_exif(image.getexif())
        across, down = (float(value) for value in dpi)
        if 1 <= across < _MOST_DPI and 1 <= down < _MOST_DPI:
            return (down, across) if turned else (across, down)
    return None


def _dpi_of_exif(exif: Image.Exif) -> tuple[float, float]:
    """Return pixels per inch; raises ``LookupError`` if the block does not give them."""
    tag = ExifTags.Base
    scale = {2: 1.0, 3: 2.54}[exif[tag.ResolutionUnit]]  # per inch, per centimetre
    return float(exif[tag.XResolution]) * scale, float(exif[tag.YResolution]) * scale


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; a damaged EXIF block is ignored."""
    with suppress(*DAMAGE):
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        return image if turn is None else image.transpose(turn)
    return image


def _damage(reader: type[ImageFile]) -> str:
    if reader is TiffImageFile:  # the file may use a TIFF variant that Pillow lacks
        return "truncated or corrupt, or a kind of TIFF sod cannot read"
    return "truncated or corrupt"


@contextmanager
def _without_pillow_warnings() -> Iterator[None]:
    """Suppress Pillow's warnings about unusual files.

    Warning filters are shared by all threads, so that a race may leave this one installed. It
    matches Pillow's modules only, so that no other warnings are lost.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
