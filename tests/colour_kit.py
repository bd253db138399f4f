"""Pictures in Display P3, as every iPhone takes them, and what their numbers mean in sRGB."""

import struct
from functools import cache

import numpy as np
from PIL import ImageCms

# Red, green and blue of Display P3 in XYZ, adapted to D50 as profiles want it.
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


@cache  # a profile carries the second it was made in
def p3_profile():
    """The profile of sRGB with the primaries of Display P3; their tone curve is the same."""
    icc = bytearray(srgb_profile())
    (count,) = struct.unpack_from(">I", icc, 128)
    for entry in range(132, 132 + 12 * count, 12):
        tag, at = struct.unpack_from(">4sI", icc, entry)
        if tag in _PRIMARIES:
            struct.pack_into(">3i", icc, at + 8, *(round(x * 65536) for x in _PRIMARIES[tag]))
    return bytes(icc)


def p3_in_srgb(rgb):
    """Return the sRGB numbers of Display P3 colours, ``(..., 3)``, cut off at 0 and 255."""
    x = np.asarray(rgb) / 255
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) @ _TO_SRGB.T
    linear = linear.clip(0, 1)
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(coded * 255)
