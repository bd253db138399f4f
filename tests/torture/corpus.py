"""Damaged and hostile pictures, and unusual file names, all made by code."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from tests.draw_kit import draw_photo

WHOLE, DAMAGED, EITHER = "whole", "damaged", "either"
ODD_NAMES = (
    "with a space", "it's \"quoted\"", "new\nline", "tab\tand\rreturn", "emoji \N{DUCK}", "-dash",
    "--help", "[red]x[bold]", "\x1b[31mred\x1b[0m", "\x9b31m", "\x07bell", "%s%d{0}",
    "a;b|c&d$(touch owned)`touch owned`", "*star?", "~tilde", ".hidden", "\u202egpj.exe",
    "=image=mask", "frame%03d", "concat:a|b", "http:||x", "\udcff\udcfe", "x" * 240,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A file and its expected result.

    Attributes:
        name: File name with suffix.
        data: Content.
        expected: ``WHOLE`` must be read, ``DAMAGED`` must be refused, ``EITHER`` may be either.
    """

    name: str
    data: bytes
    expected: str = EITHER


def photo(size_hw: tuple[int, int] = (40, 48), mode: str = "RGB") -> Image.Image:
    """Return a drawn photo as a Pillow image."""
    return Image.fromarray(draw_photo(size_hw=size_hw)[0]).convert(mode)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Return a picture encoded as a file."""
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def pictures() -> Iterator[Case]:
    """Yield pictures of common kinds, and malicious ones."""
    yield from _sound()
    yield from _moving()
    yield from _lying()
    yield from _bombs()


def cut(case: Case, step: int = 10) -> Iterator[Case]:
    """Yield ``case`` truncated at every ``step``-th byte."""
    stem, _, suffix = case.name.rpartition(".")
    for end in range(0, len(case.data), step):
        yield Case(f"{stem}-{end:05d}.{suffix}", case.data[:end])


def write(cases: Iterator[Case] | list[Case], folder: Path) -> list[Case]:
    """Write ``cases`` into ``folder``; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = list(cases)
    for case in made:
        (folder / case.name).write_bytes(case.data)
    return made


def _sound() -> Iterator[Case]:
    rgb = photo()
    forms = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
    for form in forms:
        suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(form, form.lower())
        yield Case(f"plain-{form.lower()}.{suffix}", encoded(rgb, form), WHOLE)
    yield Case("progressive.jpg", encoded(rgb, "JPEG", progressive=True), WHOLE)
    cmyk = photo(mode="CMYK")
    yield Case("cmyk.jpg", encoded(cmyk, "JPEG"), WHOLE)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield Case("cmyk-wrong-profile.jpg", encoded(cmyk, "JPEG", icc_profile=srgb), WHOLE)
    fake = srgb[:16] + b"CMYK" + srgb[20:]
    yield Case("cmyk-false-profile.jpg", encoded(cmyk, "JPEG", icc_profile=fake), WHOLE)
    yield Case("cmyk-torn-profile.tif", encoded(cmyk, "TIFF", icc_profile=fake[:200]), WHOLE)
    yield Case(
        "exif-garbage.jpg", encoded(rgb, "JPEG", exif=b"Exif\0\0MM\0*" + b"\xff" * 60), WHOLE
    )
    for width, height in ((1, 1), (1, 300), (300, 1), (2, 3), (31, 33)):
        thin = rgb.resize((width, height))
        yield Case(f"thin-{width}x{height}.png", encoded(thin, "PNG"), WHOLE)
        yield Case(f"thin-{width}x{height}.jpg", encoded(thin, "JPEG"), WHOLE)
    yield Case("alpha16.png", png(40, 48, depth=16, colour=6), WHOLE)
    yield Case("grey-alpha16.png", png(40, 48, depth=16, colour=4), WHOLE)
    grey16 = Image.fromarray(np.arange(1920, dtype=np.uint16).reshape(40, 48) * 30)
    yield Case("grey16.png", encoded(grey16, "PNG"), WHOLE)
    yield Case("wrong-suffix.png", encoded(rgb, "JPEG"), WHOLE)
    yield Case("wrong-suffix.jpg", encoded(rgb, "WEBP"), WHOLE)


def _moving() -> Iterator[Case]:
    """Yield animations; GIF and APNG are films for sod, the others pictures."""
    frames = [photo().rotate(angle) for angle in (0, 90, 180)]
    more = {"save_all": True, "append_images": frames[1:], "duration": 40}
    yield Case("moving.webp", encoded(frames[0], "WEBP", **more), WHOLE)
    yield Case("pages.tif", encoded(frames[0], "TIFF", save_all=True, append_images=frames), WHOLE)


def _lying() -> Iterator[Case]:
    """Yield files whose header, name or length is wrong."""
    jpg = encoded(photo(), "JPEG")
    whole = encoded(photo(), "PNG")
    yield Case("empty.jpg", b"", DAMAGED)
    yield Case("one-byte.png", b"\x89", DAMAGED)
    yield Case("zeros.png", bytes(5000), DAMAGED)
    yield Case("noise.jpg", np.random.default_rng(0).bytes(5000), DAMAGED)
    yield Case("text.jpg", b"this is no picture\n" * 20, DAMAGED)
    yield Case("page.png", b"<!DOCTYPE html><html><body>404 not found</body></html>", DAMAGED)
    yield Case("vector.png", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///'/></svg>",
               DAMAGED)  # fmt: skip
    yield Case("script.jpg", b"%!PS-Adobe-3.0\n(%pipe%touch owned) (w) file\n", DAMAGED)
    yield Case("head-only.png", whole[:8], DAMAGED)
    yield Case("head-only.jpg", jpg[:3], DAMAGED)
    yield Case("wrong-sum.png", whole[:29] + bytes(4) + whole[33:], DAMAGED)
    yield Case("no-size.png", png(0, 0), DAMAGED)
    yield Case("zeroed-middle.png", whole[:60] + bytes(200) + whole[260:], DAMAGED)
    yield Case("zeroed-middle.jpg", jpg[:300] + bytes(300) + jpg[600:])
    yield Case("tail.jpg", jpg + b"PK\3\4 and more", WHOLE)
    yield Case("tail.png", whole + bytes(1000), WHOLE)
    yield Case("tiff-loop.tif", b"II*\0\x08\0\0\0" + b"\0\0" + struct.pack("<I", 8), DAMAGED)
    yield Case("tiff-far.tif", b"II*\0" + struct.pack("<I", 0xFFFFFF00), DAMAGED)
    yield Case("negative.bmp", _bmp(-2147483648, -2147483648), DAMAGED)
    yield Case("huge-tokens.ppm", b"P6 " + b"9" * 400 + b" 1 255 ", DAMAGED)


def _bombs() -> Iterator[Case]:
    """Yield small files that decompress to gigabytes."""
    yield Case("bomb-20000.png", png(20000, 20000, depth=1, colour=0), DAMAGED)
    yield Case("bomb-head.png", png(2**31 - 1, 2**31 - 1, rows=1), DAMAGED)
    jpg = bytearray(encoded(photo(), "JPEG"))
    at = jpg.index(b"\xff\xc0")
    jpg[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    yield Case("bomb.jpg", bytes(jpg), DAMAGED)
    yield Case("bomb.bmp", _bmp(20000, 20000), DAMAGED)
    yield Case("bomb.ppm", b"P6 20000 20000 255 ", DAMAGED)
    text = zlib.compress(bytes(2 * 10**7), 9)
    chunk = _chunk(b"zTXt", b"Comment\0\0" + text)
    whole = encoded(photo(), "PNG")
    yield Case("bomb-text.png", whole[:33] + chunk + whole[33:])
    yield Case("bomb-profile.png", whole[:33] + _chunk(b"iCCP", b"icc\0\0" + text) + whole[33:])


def png(
    height: int, width: int, *, depth: int = 8, colour: int = 2, rows: int | None = None
) -> bytes:
    """Return a PNG file written by hand; ``rows`` of zeros follow its header."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    length = min(1 + width * channels * depth // 8, 10**6)
    ramp = length < 1000
    row = b"\0" + (bytes(range(256)) * (length // 256 + 1) if ramp else bytes(length))[: length - 1]
    body = zlib.compress(row * (height if rows is None else rows), 6)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head + bytes(100)
