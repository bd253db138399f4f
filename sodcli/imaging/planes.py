"""Pictures as planes: luma, and two of chroma at half the width and height, as films store them.

A picture of ``H`` rows and ``W`` columns, both even, is one array ``(3 H / 2, W)`` uint8: ``H``
rows of luma, then the planes of Cb and Cr, ``(H / 2, W / 2)`` each; BT.709, limited range. ffmpeg
calls it yuv420p, OpenCV I420.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.imaging.blend import blur

Pixels = NDArray[np.uint8]

_OFFSET: Final = np.array([16, 128, 128])
_TO_RGB: Final = np.array([[1, 0, 1.5748], [1, -0.187324, -0.468124], [1, 1.8556, 0]]) @ np.diag(
    [255 / 219, 255 / 224, 255 / 224]
)
_MATRIX: Final = np.column_stack([_TO_RGB, -_TO_RGB @ _OFFSET])


def split(planes: Pixels) -> list[Pixels]:
    """Return views of luma ``(H, W)``, Cb and Cr ``(H / 2, W / 2)``."""
    rows, width = planes.shape
    height = rows * 2 // 3
    return [planes[:height], *planes[height:].reshape(2, height // 2, width // 2)]


def to_rgb(planes: Pixels, least: int | None = None) -> Pixels:
    """Return the picture in RGB.

    Args:
        planes: ``(3 H / 2, W)`` uint8.
        least: Halve the picture while both sides are even and stay at least this long.

    Returns:
        ``(H, W, 3)`` uint8; half, a quarter, ... of that with ``least``.
    """
    luma, *chroma = split(planes)
    while least and min(luma.shape) >= 2 * least and not any(side % 2 for side in luma.shape):
        luma = _resized(luma, (luma.shape[1] // 2, luma.shape[0] // 2))
    merged = cv2.merge([luma, *(_resized(plane, luma.shape[::-1]) for plane in chroma)])
    return np.asarray(cv2.transform(merged, _MATRIX), np.uint8)


def blurred(planes: Pixels, alpha: Pixels, sigma: float) -> Pixels:
    """Return planes that are blurred where ``alpha`` is 0.

    Args:
        planes: ``(3 H / 2, W)`` uint8.
        alpha: ``(H, W)`` uint8, 255 keeps a pixel as it is.
        sigma: Standard deviation of the blur in pixels of ``alpha``.

    Returns:
        ``(3 H / 2, W)`` uint8, within one level of the exactly mixed planes.
    """
    out = np.empty_like(planes)
    for plane, target in zip(split(planes), split(out), strict=True):
        near = _resized(alpha, plane.shape[::-1])
        behind = blur(plane, sigma * plane.shape[1] / alpha.shape[1])
        cv2.multiply(plane, near, dst=target, scale=1 / 255)
        cv2.add(target, cv2.multiply(behind, cv2.bitwise_not(near), scale=1 / 255), dst=target)
    return out


def _resized(plane: Pixels, size_wh: tuple[int, ...]) -> Pixels:
    if plane.shape[::-1] == size_wh:
        return plane
    how = cv2.INTER_AREA if plane.shape[1] > size_wh[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (size_wh[0], size_wh[1]), interpolation=how), np.uint8)
