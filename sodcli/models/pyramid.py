"""Image pyramid and pyramid blending of InSPyReNet (ACCV 2022, arXiv 2209.09475, section 3).

A saliency map is a pyramid: the coarsest map, and for each finer level a Laplacian that holds what
the enlarged coarser map lacks. All functions take one-channel maps ``(N, 1, H, W)``.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from sodcli.models.resample import resize

_KERNEL: Final = 7
_SIGMA: Final = 1.0
_TRANSITIONS: Final = (5, 9, 17)  # side of the structuring element, coarsest level first


def gaussian_kernel() -> Tensor:
    """Return the ``(7, 7)`` Gaussian of sigma 1 and sum 1 that all levels share."""
    place = torch.arange(_KERNEL, dtype=torch.float64) - _KERNEL // 2
    line = torch.exp(-(place**2) / (2 * _SIGMA**2))
    line /= line.sum()
    return torch.outer(line, line).float()


def reduce(x: Tensor) -> Tensor:
    """Blur and keep every other pixel, the first included; sides >= 4."""
    return _blur(x, stride=2)


def expand(x: Tensor) -> Tensor:
    """Return the map at exactly twice its size: zeros between its pixels, then four blurs' worth.

    Sides >= 2. Only one pixel in four is set, hence the factor.
    """
    spread = F.pixel_shuffle(F.pad(x, (0, 0, 0, 0, 0, 3)), 2)
    return _blur(spread, gain=4)


def reconstruct(coarse: Tensor, laplacian: Tensor) -> Tensor:
    """Return the next finer map, at twice the size of ``coarse``.

    A Laplacian of another size is resized with meeting corners, as published.
    """
    finer = expand(coarse)
    return finer + resize(laplacian, finer.shape[-2:], corners=True)


def transition(logits: Tensor, size: int) -> Tensor:
    """Return 1 where the saliency goes from one side to the other within ``size`` pixels, else 0.

    That is where the dilation of the map exceeds its erosion by more than a half; the structuring
    element is a disc (section 3.3 of the paper).
    """
    saliency = logits.sigmoid()
    change = _dilate(saliency, size) + _dilate(-saliency, size)
    return (change > 0.5).to(logits)


def blend(coarse: Tensor, laplacians: Sequence[Tensor]) -> Tensor:
    """Build on the map of the small picture with the Laplacians of the large one.

    Each level takes a Laplacian only near the transitions of the level under it, so that the large
    picture adds detail to the objects that the small one found, and no others (section 3.3).

    Args:
        coarse: Logits of the small picture at the size of the large one's coarsest map.
        laplacians: Of the large picture, coarsest first; up to three.

    Returns:
        Logits, doubled in size once for each Laplacian.
    """
    for size, laplacian in zip(_TRANSITIONS, laplacians, strict=False):
        mask = resize(transition(coarse, size), laplacian.shape[-2:])
        coarse = reconstruct(coarse, mask * laplacian)
    return coarse


def disc_rows(size: int) -> list[int]:
    """Return how far each row of a disc ``size`` pixels wide reaches left and right of its middle.

    The disc is the ellipse of OpenCV, which the published network was trained with.
    """
    radius = size // 2
    return [round((radius**2 - dy**2) ** 0.5) for dy in range(-radius, radius + 1)]


def _dilate(x: Tensor, size: int) -> Tensor:
    """Return the maximum under the disc; what lies outside the map does not compete."""
    height, radius = x.shape[-2], size // 2
    padded = F.pad(x, (0, 0, radius, radius), value=-torch.inf)
    result = x
    for top, reach in enumerate(disc_rows(size)):
        row = padded[..., top : top + height, :]
        widened = F.max_pool2d(row, (1, 2 * reach + 1), stride=1, padding=(0, reach))
        result = torch.maximum(result, widened)
    return result


def _blur(x: Tensor, *, gain: int = 1, stride: int = 1) -> Tensor:
    padded = F.pad(x, [_KERNEL // 2] * 4, mode="reflect")
    return F.conv2d(padded, gain * gaussian_kernel().to(x)[None, None], stride=stride)
