"""Set the duration of the last frame of an animated PNG or WebP, which ffmpeg only guesses."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from PIL.WebPImagePlugin import WebPImageFile

from sodcli.io.pictures.cicp import png_chunks

_RIFF: Final = struct.Struct("<4sI")
_WEBP_DURATION_AT: Final = 12  # offset in an ANMF chunk: after position and size of the frame
_WEBP_LONGEST: Final = 2**24 - 1  # ms
_WEBP_PIXELS: Final = (b"ALPH", b"VP8 ", b"VP8L")  # chunks of a still picture
_WEBP_ANIMATED, _WEBP_ALPHA = 0x02, 0x10  # flags of the chunk VP8X
_PNG_DURATION: Final = struct.Struct(">HH")  # numerator and denominator, in seconds
_PNG_DURATION_AT: Final = 20
_PNG_CONTROL_BYTES: Final = 26
_PNG_LONGEST: Final = 2**16 - 1


def extend_last_frame(path: Path, total_s: float) -> None:
    """Set the duration of the last frame, in place, so that the animation lasts ``total_s``.

    Formats: https://developers.google.com/speed/webp/docs/riff_container (ANMF) and
    https://www.w3.org/TR/png-3/#fcTL-chunk. A still WebP, to which encoders reduce equal frames,
    becomes an animation of one frame. A still PNG is left unchanged.

    Args:
        path: A ``.webp``, or a PNG under any other suffix.
        total_s: Duration from the start of the first frame to the end of the last, in seconds.

    Raises:
        OSError: If the file cannot be read or written.
    """
    with path.open("rb+") as file:
        if path.suffix.lower() == ".webp":
            _extend_webp(file, total_s)
        else:
            _extend_png(file, total_s)


def _extend_webp(file: IO[bytes], total_s: float) -> None:
    durations, pixels = [], b""
    for kind, at in _riff_chunks(file):
        if kind in _WEBP_PIXELS:
            pixels += _chunk(file, kind, at)
        if kind == b"ANMF":
            file.seek(at + _WEBP_DURATION_AT)
            durations.append(int.from_bytes(file.read(3), "little"))
            last = file.tell() - 3
    if durations:
        wanted = round(total_s * 1000) - sum(durations[:-1])
        file.seek(last)
        file.write(_webp_duration(wanted))
    elif pixels:
        file.seek(0)
        with WebPImageFile(file) as image:
            size, alpha = image.size, image.mode == "RGBA"
        sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
        head = bytes((_WEBP_ANIMATED | _WEBP_ALPHA * alpha, 0, 0, 0)) + sides
        frame = bytes(6) + sides + _webp_duration(round(total_s * 1000)) + b"\0" + pixels
        chunks = ((b"VP8X", head), (b"ANIM", bytes(6)), (b"ANMF", frame))
        body = b"WEBP" + b"".join(_RIFF.pack(kind, len(data)) + data for kind, data in chunks)
        file.seek(0)
        file.write(_RIFF.pack(b"RIFF", len(body)) + body)


def _webp_duration(wanted_ms: int) -> bytes:
    return min(max(wanted_ms, 1), _WEBP_LONGEST).to_bytes(3, "little")


def _chunk(file: IO[bytes], kind: bytes, at: int) -> bytes:
    """Return a chunk of a RIFF file with its head, padded to an even size."""
    file.seek(at - 4)
    size = int.from_bytes(file.read(4), "little")
    data = file.read(size)
    return _RIFF.pack(kind, size) + data + b"\0" * (size % 2)


def _extend_png(file: IO[bytes], total_s: float) -> None:
    durations = []
    for kind, at in png_chunks(file):
        if kind == b"fcTL":
            file.seek(at)
            last, control = at, file.read(_PNG_CONTROL_BYTES)
            numerator, denominator = _PNG_DURATION.unpack_from(control, _PNG_DURATION_AT)
            # In the specification, 0 stands for 100.
            durations.append(numerator / (denominator or 100))
    if durations:
        changed = bytearray(control)
        _PNG_DURATION.pack_into(
            changed, _PNG_DURATION_AT, *_png_duration(total_s - sum(durations[:-1]))
        )
        file.seek(last)
        file.write(changed + zlib.crc32(b"fcTL" + changed).to_bytes(4, "big"))


def _png_duration(seconds: float) -> tuple[int, int]:
    """Return a duration as numerator and denominator, at the finest resolution that fits."""
    denominator = next((count for count in (1000, 100) if seconds * count <= _PNG_LONGEST), 1)
    return min(max(round(seconds * denominator), 1), _PNG_LONGEST), denominator


def _riff_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the type of each chunk of a RIFF file, and the offset of its content."""
    at = 12  # after "RIFF", size, "WEBP"
    while file.seek(at) == at and len(head := file.read(_RIFF.size)) == _RIFF.size:
        kind, size = _RIFF.unpack(head)
        yield kind, at + _RIFF.size
        at += _RIFF.size + size + size % 2
