"""Pixel operations: alpha compositing, compositing over white, blur, and scaling to cover."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

_BAND = 32  # rows per step, so that the floats fit into the CPU cache
_SHRINK = ((30.0, 8), (7.5, 4), (3.75, 2))  # (minimum sigma in px, shrink factor)


def mix(
    top: NDArray[np.uint8], bottom: NDArray[np.uint8], alpha: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Composite ``top`` over ``bottom``: ``rint(alpha top + (1 - alpha) bottom)``.

    Args:
        top: ``(H, W, 3)`` uint8.
        bottom: ``(H, W, 3)`` uint8, or one colour ``(3,)``.
        alpha: ``(H, W)`` float32 in ``[0, 1]``, the weight of ``top``.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    out = np.empty_like(top)
    flat = np.empty_like(top[:_BAND])  # products of equal shapes are twice as fast
    flat[:] = bottom if bottom.ndim == 1 else 0
    for start in range(0, len(top), _BAND):
        band = np.s_[start : start + _BAND]
        share = cv2.merge((alpha[band],) * 3)
        mixed = top[band] * share
        np.subtract(1, share, out=share)
        share *= bottom[band] if bottom.ndim == 3 else flat[: len(share)]
        mixed += share
        out[band] = np.rint(mixed, out=mixed)
    return out


def over_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Composite a picture over white; colours of transparent pixels are often arbitrary.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        alpha: ``(H, W)`` uint8, 255 is opaque; ``None`` if every pixel is opaque.

    Returns:
        ``(H, W, 3)`` uint8; without ``alpha`` it is ``rgb`` itself.
    """
    if alpha is None:
        return rgb
    share = alpha[..., None].astype(np.uint16)
    shown = (rgb * share + 255 * (255 - share) + 127) // 255
    return shown.astype(np.uint8)


def blur(picture: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Gaussian blur whose run time hardly depends on ``sigma``.

    For a large ``sigma`` the picture is shrunk by a factor ``k`` before the blur and enlarged
    afterwards. Averaging ``k`` pixels and linear interpolation blur it too, so their variances,
    ``(k^2 - 1) / 12`` and ``k^2 / 6`` px^2, are subtracted from the Gaussian's. On photos the
    result is within 3 grey levels of the exact blur.

    Args:
        picture: ``(H, W, 3)`` or ``(H, W)`` uint8.
        sigma: Standard deviation in pixels.

    Returns:
        uint8 of the same shape.
    """
    shrink = next((times for least, times in _SHRINK if sigma >= least), 1)
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
    height, width = picture.shape[:2]
    size_wh = (-(-width // shrink), -(-height // shrink))
    small = cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)
    rest = math.sqrt(sigma**2 - (shrink**2 - 1) / 12 - shrink**2 / 6) / shrink
    small = cv2.GaussianBlur(small, (0, 0), rest, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(small, (width, height)), np.uint8)


def cover(picture: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale a picture to cover ``size_hw``, keeping its aspect ratio, and centre-crop it.

    Args:
        picture: ``(h, w, 3)`` uint8.
        size_hw: Height and width to cover.

    Returns:
        ``(*size_hw, 3)`` uint8, the middle of the picture.
    """
    height, width = picture.shape[:2]
    scale = max(size_hw[0] / height, size_hw[1] / width)
    crop_h, crop_w = (max(1, round(side / scale)) for side in size_hw)
    top, left = (height - crop_h) // 2, (width - crop_w) // 2
    middle = picture[top : top + crop_h, left : left + crop_w]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(middle, size_hw[::-1], interpolation=how), np.uint8)
