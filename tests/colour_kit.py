"""Pictures in Display P3 and films in PQ and HLG, with conversions to sRGB."""

import struct
import subprocess
from functools import cache

import numpy as np
from PIL import ImageCms

from tests.film_kit import executable

# Red, green and blue of Display P3 in XYZ, adapted to D50 as ICC profiles require.
_PRIMARIES = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}
# Linear Display P3 to linear sRGB, from the sample code of CSS Color 4.
_TO_SRGB = np.array(
    [[1.2249402, -0.2249402, 0], [-0.0420570, 1.0420570, 0], [-0.0196376, -0.0786361, 1.0982736]]
)


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache  # a profile contains the time of its creation
def p3_profile():
    """Return the sRGB profile with the primaries of Display P3; both have the same tone curve."""
    icc = bytearray(srgb_profile())
    (count,) = struct.unpack_from(">I", icc, 128)
    for entry in range(132, 132 + 12 * count, 12):
        tag, at = struct.unpack_from(">4sI", icc, entry)
        if tag in _PRIMARIES:
            struct.pack_into(">3i", icc, at + 8, *(round(x * 65536) for x in _PRIMARIES[tag]))
    return bytes(icc)


def p3_in_srgb(rgb):
    """Return Display P3 colours ``(..., 3)`` in sRGB, clipped to 0 and 255."""
    return np.rint(_coded((linear(rgb) @ _TO_SRGB.T).clip(0, 1)) * 255)


# Linear BT.709 to linear BT.2020 (ITU-R BT.2087).
_TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
_TRANSFERS = {"PQ": "smpte2084", "HLG": "arib-std-b67", "SDR": "bt709"}


def linear(rgb):
    """Return the linear light, from 0 to 1, of sRGB values from 0 to 255."""
    x = np.asarray(rgb) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _coded(light):
    """Return the sRGB values of linear light, both from 0 to 1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _signal(nits, kind):
    """Return the coded values of light: SMPTE ST 2084, ITU-R BT.2100 HLG or sRGB."""
    if kind == "PQ":
        y = (nits / 10000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    if kind == "HLG":  # scene light: each channel without the system gamma of 1.2
        e = (nits / 1000).clip(0, 1) ** (1 / 1.2)
        upper = 0.17883277 * np.log(np.maximum(12 * e - 0.28466892, 1e-9)) + 0.55991073
        return np.where(e <= 1 / 12, np.sqrt(3 * e), upper)
    return _coded(nits / 203)


def hdr_film(path, rgb=None, kind="PQ", nits=None):
    """Write one frame as a 10-bit BT.2020 film in ``PQ``, ``HLG`` or ``SDR``.

    The frame is given in sRGB, whose white becomes 203 nits, or as light in nits.
    """
    light = linear(rgb) * 203 if nits is None else nits
    coded = np.rint(_signal((light @ _TO_2020.T).clip(0), kind).clip(0, 1) * 65535)
    height, width = light.shape[:2]
    tags = f"colorspace=bt2020nc:color_primaries=bt2020:color_trc={_TRANSFERS[kind]}"
    filters = f"scale=out_color_matrix=bt2020nc:out_range=tv,format=yuv420p10le,setparams={tags}"
    command = [executable(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb48le"]
    command += ["-s", f"{width}x{height}", "-r", "10", "-i", "-", "-vf", filters, "-c:v", "libx265"]
    command += ["-x265-params", "log-level=none", "-crf", "8", "-tag:v", "hvc1", str(path)]
    subprocess.run(command, input=coded.astype("<u2").tobytes(), check=True)
    return path
