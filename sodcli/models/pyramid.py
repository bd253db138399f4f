"""Image pyramid and pyramid blending of InSPyReNet (ACCV 2022, arXiv 2209.09475, section 3).

A saliency map is decomposed into the coarsest map and, for each finer level, a Laplacian: the
difference to the enlarged coarser map. All functions take one-channel maps ``(N, 1, H, W)``.
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
    """Double the size: insert zeros between the pixels, then blur with gain 4; sides >= 2.

    The gain compensates for the zeros: only one pixel in four is set.
    """
    spread = F.pixel_shuffle(F.pad(x, (0, 0, 0, 0, 0, 3)), 2)
    return _blur(spread, gain=4)


def reconstruct(coarse: Tensor, laplacian: Tensor) -> Tensor:
    """Return the next finer map, at twice the size of ``coarse``.

    A Laplacian of another size is resized with ``align_corners=True``, as published.
    """
    finer = expand(coarse)
    return finer + resize(laplacian, finer.shape[-2:], corners=True)


def transition(logits: Tensor, size: int) -> Tensor:
    """Return a mask of the transitions between subject and background: 1 near them, else 0.

    It is 1 where the dilation of the saliency exceeds its erosion by more than 0.5. The structuring
    element is a disc ``size`` pixels wide (section 3.3 of the paper).
    """
    saliency = logits.sigmoid()
    change = _dilate(saliency, size) + _dilate(-saliency, size)
    return (change > 0.5).to(logits)


def blend(coarse: Tensor, laplacians: Sequence[Tensor]) -> Tensor:
    """Refine the saliency map of the small picture with the Laplacians of the large one.

    Each level uses its Laplacian only near the transitions of the next coarser level, so that the
    large picture adds detail to objects found in the small one, but no new objects (section 3.3).

    Args:
        coarse: Logits of the small picture at the size of the large one's coarsest map.
        laplacians: Laplacians of the large picture, coarsest first; up to three.

    Returns:
        Logits; each Laplacian doubles the size.
    """
    for size, laplacian in zip(_TRANSITIONS, laplacians, strict=False):
        mask = resize(transition(coarse, size), laplacian.shape[-2:])
        coarse = reconstruct(coarse, mask * laplacian)
    return coarse


def disc_rows(size: int) -> list[int]:
    """Return the half-width in pixels of each row of a disc ``size`` pixels wide.

    The disc is OpenCV's elliptical structuring element, which the published network was trained
    with.
    """
    radius = size // 2
    return [round((radius**2 - dy**2) ** 0.5) for dy in range(-radius, radius + 1)]


def _dilate(x: Tensor, size: int) -> Tensor:
    """Dilate with the disc; pixels outside the map are ignored."""
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
