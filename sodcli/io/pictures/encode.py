"""Encode pixels as the bytes of a picture file; the suffix determines the format."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sodcli.errors import SinkError, UsageError
from sodcli.io.pictures.cicp import PNG_SIGNATURE
from sodcli.io.pictures.colour import profile_to_srgb

_QUALITY: Final = 95
_COLOUR_TYPES: Final = {1: 0, 3: 2, 4: 6}  # grey, RGB, RGBA
_SUB, _UP = 1, 2  # PNG filter types: subtract the pixel to the left, or the one above


def encode_png(
    pixels: NDArray[np.uint8],
    icc: bytes | None = None,
    *,
    dpi: tuple[float, float] | None = None,
    exif: bytes | None = None,
) -> bytes:
    """Encode pixels as PNG, with fast compression.

    It allocates about as much memory as the pixels occupy.

    Args:
        pixels: ``(H, W)`` grey, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA, uint8.
        icc: ICC profile of the pixels.
        dpi: Horizontal and vertical resolution in pixels per inch.
        exif: EXIF block.
    """
    height, width, channels = *pixels.shape[:2], 1 if pixels.ndim == 2 else pixels.shape[2]
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [_chunk(b"IHDR", head)]
    if icc is not None:
        chunks.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if dpi is not None:
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in dpi), 1)))
    if exif is not None:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    rows = _filtered(pixels.reshape(height, -1), channels)
    data = packer.compress(rows.reshape(-1).data) + packer.flush()
    return b"".join((PNG_SIGNATURE, *chunks, _chunk(b"IDAT", data), _chunk(b"IEND", b"")))


def _filtered(rows: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return the rows after PNG filtering, which compresses better, with the type in column 0."""
    out = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    if channels == 1:
        out[:, 0] = _UP
        out[0, 1:] = rows[0]
        np.subtract(rows[1:], rows[:-1], out=out[1:, 1:])
    else:
        out[:, 0] = _SUB
        out[:, 1 : 1 + channels] = rows[:, :channels]
        np.subtract(rows[:, channels:], rows[:, :-channels], out=out[:, 1 + channels :])
    return out


def _chunk(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(name))
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


@dataclass(frozen=True, slots=True)
class _Format:
    """Pillow's name and options for a format; what the format can store, and its largest side."""

    name: str
    alpha: bool = True
    max_side: int = 2**31 - 1
    lossy: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    metadata: bool = True  # it stores an ICC profile and EXIF


# No chroma subsampling: it would smear the subject's colour over a uniform background.
_FULL_CHROMA: Final = {"subsampling": "4:4:4"}
_JPEG: Final = _Format("JPEG", alpha=False, max_side=65500, lossy=True, options=_FULL_CHROMA)
_TIFF: Final = _Format("TIFF", options={"compression": "tiff_deflate"})
_FORMATS: Final = {
    ".png": _Format("PNG"),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _Format("WEBP", max_side=16383, lossy=True),
    ".avif": _Format("AVIF", max_side=32768, lossy=True, options={"speed": 8, **_FULL_CHROMA}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": _Format("BMP", alpha=False, metadata=False),
}


def check_format(name: str, suffix: str, *, alpha: bool) -> None:
    """Check that a picture can be written under this suffix, before any work is done.

    Args:
        name: The name of the file in messages.
        suffix: The suffix of the format, such as ``.png``, in any case.
        alpha: Whether the picture has transparency.

    Raises:
        UsageError: If no format has this suffix, or the format lacks a needed alpha channel.
    """
    known = _FORMATS.get(suffix.lower())
    if known is None:
        formats = ", ".join(_FORMATS)
        raise UsageError(f"{name}: no picture format has this suffix; use one of {formats}")
    if alpha and not known.alpha:
        raise UsageError(
            f"cannot write transparency to {name}; use .png, .webp, .avif or .tiff,"
            " or a type without transparency, such as white"
        )


def is_format(suffix: str) -> bool:
    """Return True if pictures can be written under this suffix."""
    return suffix.lower() in _FORMATS


def is_lossy(suffix: str) -> bool:
    """Return True if the picture format with this suffix has a quality."""
    return is_format(suffix) and _FORMATS[suffix.lower()].lossy


def has_software(suffix: str) -> bool:
    """Return True if pictures that sod writes under this suffix say so in their EXIF block."""
    return is_format(suffix) and _FORMATS[suffix.lower()].metadata


def encode_picture(
    pixels: NDArray[np.uint8],
    suffix: str,
    *,
    icc: bytes | None = None,
    quality: int | None = None,
    compress: int | None = None,
    dpi: tuple[float, float] | None = None,
    software: str | None = None,
) -> bytes:
    """Encode pixels as a complete picture file.

    Args:
        pixels: ``(H, W)`` grey, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA with straight alpha, uint8.
        suffix: ``.png``, ``.jpg``, ``.jpeg``, ``.webp``, ``.avif``, ``.tif``, ``.tiff`` or
            ``.bmp``.
        icc: ICC profile of the pixels; ignored for grey pixels, which it does not describe. BMP
            cannot store it, so its pixels are converted to sRGB.
        quality: Quality of the lossy formats (JPEG, WebP, AVIF), 0 to 100; ``None`` is 95.
        compress: zlib level of PNG, 0 to 9; ignored by other formats. ``None`` uses
            :func:`encode_png`; 6 gives files about 1/8 smaller and takes five times as long.
        dpi: Horizontal and vertical resolution in pixels per inch; WebP and AVIF store it in EXIF.
        software: What made the picture, for EXIF (not in BMP).

    Raises:
        UsageError: If the suffix is unknown, or the pixels have alpha and the format has not.
        SinkError: If the picture is too large for the format.
    """
    check_format(suffix, suffix, alpha=pixels.shape[2:] == (4,))
    chosen = _FORMATS[suffix.lower()]
    height, width = pixels.shape[:2]
    if max(height, width) > chosen.max_side:
        raise SinkError(
            f"{chosen.name} ends at {chosen.max_side} pixels a side, this is {width}x{height};"
            " use .png or .tiff"
        )
    icc = icc if pixels.ndim == 3 else None
    if icc is not None and not chosen.metadata:
        pixels, icc = profile_to_srgb(pixels, icc), None
    exif = _exif(chosen.name, dpi, software)
    if chosen.name == "PNG" and compress is None:
        return encode_png(pixels, icc, dpi=dpi, exif=exif)
    options = dict(chosen.options)
    if chosen.lossy:
        options["quality"] = _QUALITY if quality is None else quality
    if chosen.name == "PNG":
        options["compress_level"] = compress
    given = {"icc_profile": icc, "dpi": dpi, "exif": exif}
    options |= {name: value for name, value in given.items() if value is not None}
    file = BytesIO()
    Image.fromarray(pixels).save(file, chosen.name, **options)
    return file.getvalue()


def _exif(name: str, dpi: tuple[float, float] | None, software: str | None) -> bytes | None:
    """Return an EXIF block; it has the resolution in formats without a place of their own."""
    exif, tag = Image.Exif(), ExifTags.Base
    if software is not None:
        exif[tag.Software] = software
    if dpi is not None and name in ("WEBP", "AVIF"):
        exif[tag.XResolution], exif[tag.YResolution], exif[tag.ResolutionUnit] = *dpi, 2
    return exif.tobytes() if len(exif) else None
