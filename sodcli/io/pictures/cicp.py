"""Colour given by code points (ITU-T H.273) instead of an ICC profile, and its conversion to sRGB.

PNG stores the code points in the chunk ``cICP``, AVIF and HEIC in a ``colr`` box of type ``nclx``.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import IO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

WHITE_NITS: Final = 203  # diffuse white of HDR pictures (ITU-R BT.2408)
PEAK: Final = 1000 / WHITE_NITS  # the brightest highlight that keeps its shading
KNEE: Final = 0.8  # linear light below which tone mapping changes nothing

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK: Final = struct.Struct(">I4s")  # size and type
_UNSPECIFIED, _LINEAR, _PQ, _HLG = 2, 8, 16, 18
_P3: Final = (
    (1.2249402, -0.2249402, 0.0),
    (-0.0420570, 1.0420570, 0.0),
    (-0.0196376, -0.0786361, 1.0982736),
)
_TO_BT709: Final = {  # linear light of other primaries to that of BT.709, which sRGB shares
    9: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349),
        (-0.018151, -0.100579, 1.118730)),  # BT.2020 (ITU-R BT.2087)
    11: _P3,
    12: _P3,
}  # fmt: skip
_ROWS: Final = 128  # converted at a time, to bound the memory in use


def code_points(data: bytes) -> tuple[int, int] | None:
    """Return colour primaries and transfer characteristics of a PNG or AVIF file.

    Args:
        data: The whole file.

    Returns:
        The two code points, or ``None`` if the file does not give them or is damaged.
    """
    with suppress(struct.error, LookupError):
        points = _of_png(data) if data.startswith(PNG_SIGNATURE) else _of_avif(data)
        return points if points is None or _UNSPECIFIED not in points else None
    return None


def png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the type of each chunk of a PNG file, and the offset of its content."""
    at = 8  # after the signature
    while file.seek(at) == at and len(head := file.read(_PNG_CHUNK.size)) == _PNG_CHUNK.size:
        size, kind = _PNG_CHUNK.unpack(head)
        yield kind, at + _PNG_CHUNK.size
        at += _PNG_CHUNK.size + size + 4  # and the checksum


def _of_png(data: bytes) -> tuple[int, int] | None:
    for kind, at in png_chunks(BytesIO(data)):
        if kind == b"IDAT":
            break
        if kind == b"cICP":
            return data[at], data[at + 1]
    return None


def _of_avif(data: bytes) -> tuple[int, int] | None:
    """Return those of the primary item: a file may hold others, such as gain maps."""
    meta = dict(_boxes(data, 0, len(data))).get(b"meta")
    if meta is None:
        return None
    inside = dict(_boxes(data, meta[0] + 4, meta[1]))
    pitm, iprp = inside[b"pitm"][0], dict(_boxes(data, *inside[b"iprp"]))
    (primary,) = struct.unpack_from(">I" if data[pitm] else ">H", data, pitm + 4)
    properties = list(_boxes(data, *iprp[b"ipco"]))
    for index in _associated(data, iprp[b"ipma"][0], primary):
        kind, (at, _) = properties[index - 1]
        if kind == b"colr" and data[at : at + 4] == b"nclx":
            primaries, transfer = struct.unpack_from(">HH", data, at + 4)
            return int(primaries), int(transfer)
    return None


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the type, and begin and end of the content, of each box of an ISO media file."""
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        stop = at + size if size else end
        if stop < at + head:
            return
        yield kind, (at + head, stop)
        at = stop


def _associated(data: bytes, at: int, item: int) -> list[int]:
    """Return the indices, from 1, of the properties that the box ``ipma`` gives to an item."""
    version, wide = data[at], data[at + 3] & 1
    (entries,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(entries):
        (number,) = struct.unpack_from(">I" if version else ">H", data, at)
        at += 4 if version else 2
        count = data[at]
        form = f">{count}{'H' if wide else 'B'}"
        if number == item:
            return [
                index & (0x7FFF if wide else 0x7F)
                for index in struct.unpack_from(form, data, at + 1)
            ]
        at += 1 + struct.calcsize(form)
    return []


def to_srgb(rgb: NDArray[np.uint8], primaries: int, transfer: int) -> NDArray[np.uint8]:
    """Convert ``(H, W, 3)`` uint8 pixels with these code points to sRGB.

    PQ and HLG are tone-mapped as HDR films are: light keeps its value up to 0.8 of diffuse white
    (203 nits), and highlights up to 1000 nits are compressed into the rest. Other transfer
    characteristics than these and linear light are read as sRGB, and primaries other than BT.2020
    and P3 as BT.709. Colours outside the sRGB gamut are clipped to it.
    """
    matrix = _TO_BT709.get(primaries)
    if matrix is None and transfer not in (_PQ, _HLG, _LINEAR):
        return rgb
    light = _light(transfer)
    codes = np.rint(_coded(np.linspace(0, 1, 65536, dtype=np.float32)) * 255).astype(np.uint8)
    out = np.empty_like(rgb)
    for at in range(0, len(rgb), _ROWS):
        linear = light[rgb[at : at + _ROWS]]
        if matrix is not None:
            linear = np.asarray(cv2.transform(linear, np.array(matrix)), np.float32)
        if transfer in (_PQ, _HLG):
            linear = _tone_mapped(linear)
        out[at : at + _ROWS] = codes[np.rint(linear.clip(0, 1) * 65535).astype(np.uint16)]
    return out


def _light(transfer: int) -> NDArray[np.float32]:
    """Return the linear light of the 256 code values; diffuse white is 1."""
    x = np.linspace(0, 1, 256)
    if transfer == _PQ:  # SMPTE ST 2084
        root = x ** (1 / 78.84375)
        base = (root - 0.8359375).clip(0) / (18.8515625 - 18.6875 * root)
        light = base ** (1 / 0.1593017578125) * 10000 / WHITE_NITS
    elif transfer == _HLG:  # ITU-R BT.2100, with its system gamma on each channel, as in films
        scene = np.where(
            x <= 0.5, x**2 / 3, (np.exp((x - 0.55991073) / 0.17883277) + 0.28466892) / 12
        )
        light = scene**1.2 * PEAK
    elif transfer == _LINEAR:
        light = x
    else:
        light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def _coded(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sRGB signal, 0 to 1, of linear light."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _tone_mapped(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each pixel so that its largest channel follows a Moebius curve above the knee.

    It is ffmpeg's ``tonemap=mobius``, which maps ``PEAK`` to 1.
    """
    a = -(KNEE**2) * (PEAK - 1) / (KNEE**2 - 2 * KNEE + PEAK)
    b = (KNEE**2 - 2 * KNEE * PEAK + PEAK) / (PEAK - 1)
    top = light.max(axis=2, keepdims=True).clip(KNEE)
    mapped = (b + KNEE) ** 2 / (b - a) * (top + a) / (top + b)
    return np.asarray(light * (mapped / top), np.float32)
