"""Convert pictures to network inputs and logits to saliency maps, with NumPy and OpenCV only."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
_CELL: Final = 16  # px


def to_input(
    rgb: NDArray[np.uint8],
    size_hw: tuple[int, int],
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    *,
    antialias: bool = False,
) -> NDArray[np.float32]:
    """Resize and normalise a picture for a network.

    Bilinear with half-pixel centres; the aspect ratio is not kept. This is the test protocol of the
    published models.

    Args:
        rgb: ``(H, W, 3)`` uint8, RGB.
        size_hw: Height and width of the network's input.
        mean: Mean per channel, for values in ``[0, 1]``.
        std: Standard deviation per channel, for values in ``[0, 1]``.
        antialias: Average pixels if a side shrinks to less than half. Otherwise fine texture in a
            24-megapixel photo would alias into noise.

    Returns:
        ``(3, h, w)`` float32, contiguous.
    """
    if antialias and (rgb.shape[0] > 2 * size_hw[0] or rgb.shape[1] > 2 * size_hw[1]):
        height, width = min(rgb.shape[0], size_hw[0]), min(rgb.shape[1], size_hw[1])
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    floats = rgb.astype(np.float32)
    resized = cv2.resize(floats, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    normal = np.empty((3, *size_hw), np.float32)
    for channel, (middle, spread) in enumerate(zip(mean, std, strict=True)):
        np.multiply(resized[..., channel], np.float32(1 / (255 * spread)), out=normal[channel])
        normal[channel] -= np.float32(middle / spread)
    return normal


def half_size(batch: NDArray[np.float32], least: int) -> NDArray[np.float32]:
    """Shrink network inputs ``(N, 3, h, w)`` to half, by area, to sides of at least ``least``."""
    height, width = (max(least, side // 2) for side in batch.shape[-2:])
    return np.stack(
        [
            [cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in planes]
            for planes in batch
        ]
    )


def with_context(
    logits: NDArray[np.float32], coarse: NDArray[np.float32], share: float
) -> NDArray[np.float32]:
    """Move the local means of logits towards those of a pass at lower resolution.

    At half size a network's receptive field covers more of the scene, and details are lost. So only
    the means over cells of 16 pixels change, smoothly from cell to cell; details stay.

    Args:
        logits: ``(h, w)`` float32.
        coarse: ``(h', w')`` float32, the logits of the same picture at another size.
        share: Weight of ``coarse`` in the means, in ``[0, 1]``.

    Returns:
        ``(h, w)`` float32.
    """
    height, width = logits.shape
    cells_wh = (max(1, round(width / _CELL)), max(1, round(height / _CELL)))
    theirs, own = (cv2.resize(x, cells_wh, interpolation=cv2.INTER_AREA) for x in (coarse, logits))
    change = np.float32(share) * (theirs - own)
    return logits + cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)


def to_saliency(logits: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Turn a network's logits into a saliency map of the picture's size.

    Sigmoid, then bilinear resize. No min-max normalisation, so an empty scene stays empty.

    Args:
        logits: ``(h, w)`` float32.
        size_hw: Height and width of the picture.

    Returns:
        ``(H, W)`` float32 in ``[0, 1]``, contiguous.
    """
    return fit_map(sigmoid(logits), size_hw)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sigmoid of ``logits``, of any shape; float32."""
    half = logits.astype(np.float32) / 2
    return np.asarray((np.tanh(half) + 1) / 2, np.float32)  # tanh does not overflow as exp does


def fit_map(probability: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a map in ``[0, 1]``, bilinear, to ``(H, W)`` float32, contiguous."""
    resized = cv2.resize(probability, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    fitted = np.ascontiguousarray(resized, np.float32)
    return np.clip(fitted, 0, 1, out=fitted)


def binarise(saliency: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Return 1 where ``saliency`` reaches ``level`` and 0 elsewhere; ``(H, W)`` float32."""
    return (saliency >= level).astype(np.float32)
