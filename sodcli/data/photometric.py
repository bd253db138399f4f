"""Photometric augmentation of ``(H, W, 3)`` float32 RGB pictures in [0, 1].

Each adjustment interpolates or extrapolates between the picture and a degenerate version, as in
Pillow's ``ImageEnhance``: black for brightness, the mean grey for contrast, the greyscale picture
for saturation, the smoothed picture for sharpness.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]

_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13  # Pillow's SMOOTH


def to_grey(image: Colour) -> Colour:
    """Convert to greyscale (luma of ITU-R BT.601), with three equal channels."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.float32)


def jitter(image: Colour, amounts: Sequence[float], rng: np.random.Generator) -> Colour:
    """Change brightness, contrast and saturation, in random order (MINet's colour jitter).

    Args:
        image: ``(H, W, 3)`` float32 RGB in [0, 1].
        amounts: Strength for brightness, contrast and saturation. Each factor is uniform in
            ``[max(0, 1 - amount), 1 + amount]``; 0 disables the adjustment.
        rng: Random number generator.
    """
    without = (_black, _mean_grey, to_grey)
    for turn in rng.permutation(3):
        amount = amounts[turn]
        if amount > 0:
            factor = rng.uniform(max(0.0, 1 - amount), 1 + amount)
            image = _scaled(image, without[turn](image), factor)
    return image


def enhance(image: Colour, rng: np.random.Generator) -> Colour:
    """Increase contrast, sharpness and brightness (InSPyReNet's ``random_image_enhance``).

    The order is random; each is applied with probability 1/2 and a factor uniform in [1, 1.1].
    """
    without = (_mean_grey, _smoothed, _black)
    for turn in rng.permutation(3):
        if rng.random() < 0.5:
            image = _scaled(image, without[turn](image), 1 + rng.random() / 10)
    return image


def degrade(image: Colour, chances: Sequence[float], rng: np.random.Generator) -> Colour:
    """Blur the picture, add noise and compress it as JPEG, each at random.

    Args:
        image: ``(H, W, 3)`` float32 RGB in [0, 1].
        chances: Probabilities of blur, noise and JPEG compression.
        rng: Random number generator.
    """
    if rng.random() < chances[0]:
        blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
        image = np.asarray(blurred, np.float32)
    if rng.random() < chances[1]:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0.005, 0.05))
        image = np.clip(image + noise, 0, 1)
    if rng.random() < chances[2]:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))]
        _, data = cv2.imencode(".jpg", np.rint(image * 255).astype(np.uint8)[..., ::-1], quality)
        packed = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32)
        image = packed[..., ::-1] / np.float32(255)
    return np.asarray(image, np.float32)


def _scaled(image: Colour, without: Colour, factor: float) -> Colour:
    """Return ``without + factor * (image - without)``, clipped to [0, 1]."""
    scaled = cv2.addWeighted(image, factor, without, 1 - factor, 0)
    return np.asarray(np.clip(scaled, 0, 1, out=scaled), np.float32)


def _black(image: Colour) -> Colour:
    return np.zeros_like(image)


def _mean_grey(image: Colour) -> Colour:
    return np.full_like(image, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean())


def _smoothed(image: Colour) -> Colour:
    return np.asarray(cv2.filter2D(image, -1, _SMOOTH), np.float32)
