"""Loss functions, registered by the names used in recipes."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from sodcli.errors import UsageError
from sodcli.models._base import Prediction
from sodcli.models.pyramid import reduce
from sodcli.text import did_you_mean

Loss = Callable[[Prediction, Tensor], Tensor]
"""Maps a float32 prediction and ground truth ``(N, 1, H, W)`` or ``(N, T, 1, H, W)`` in ``[0, 1]``
to a scalar, the mean over the N items of the batch, so that batches can be split."""

_LOSSES: Final[dict[str, Loss]] = {}
_SUMS: Final = frozenset({"balanced-bce"})


def loss(name: str) -> Callable[[Loss], Loss]:
    """Register the decorated function under ``name``.

    Raises:
        ValueError: If the name is already registered.
    """

    def add(function: Loss) -> Loss:
        if name in _LOSSES:
            raise ValueError(f"loss {name!r} exists already")
        _LOSSES[name] = function
        return function

    return add


def get_loss(name: str) -> Loss:
    """Return the loss called ``name``.

    Raises:
        UsageError: If there is none; the message suggests the nearest name.
    """
    if name in _LOSSES:
        return _LOSSES[name]
    known = ", ".join(sorted(_LOSSES))
    raise UsageError(f"no loss named {name!r}.{did_you_mean(name, _LOSSES)} Known: {known}.")


def sums_pixels(name: str) -> bool:
    """Return True if the loss sums over the pixels of an item instead of averaging."""
    return name in _SUMS


_EDGE_WEIGHT: Final = 5.0
_EDGE_WINDOW: Final = 31
_CONSISTENCY: Final = 1e-4


@loss("pyramid")
def pyramid(prediction: Prediction, target: Tensor) -> Tensor:
    """Weighted cross entropy + IoU on each level, + 1e-4 times pyramidal consistency.

    ``prediction.aux["saliency"]`` holds the coarser logits, coarsest first, each half the size of
    the next; ``prediction.logits`` is the finest. Every level is resized to full size (nearest).
    """
    levels = [prediction.logits, *reversed(prediction.aux["saliency"])]
    truths = [target]
    for _ in levels[1:]:
        truths.append(reduce(truths[-1]))
    size = target.shape[-2:]
    judged = torch.stack(
        [region(_up(d, size), _up(y, size)) for d, y in zip(levels, truths, strict=True)]
    )
    agreement = torch.stack(
        [
            F.l1_loss(_up(coarse, size), _up(reduce(fine).detach(), size))
            for fine, coarse in pairwise(levels)
        ]
    )
    return judged.sum() + _CONSISTENCY * agreement.sum()


def region(logits: Tensor, target: Tensor) -> Tensor:
    """Return edge-weighted cross entropy + per-pixel IoU loss, both unweighted means."""
    return edge_bce(logits, target) + pixel_iou(logits, target)


def edge_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy; pixels that differ from their local mean have a weight of up to 6."""
    around = _local_mean(target, _EDGE_WINDOW, zeros_outside=True)
    weight = 1 + _EDGE_WEIGHT * (around - target).abs()
    return F.binary_cross_entropy_with_logits(logits, target, weight)


def pixel_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean over pixels of ``1 - (s y + 1) / (s + y - s y + 1)``."""
    saliency = logits.sigmoid()
    both = saliency * target
    return (1 - (both + 1) / (saliency + target - both + 1)).mean()


def _local_mean(x: Tensor, window: int, *, zeros_outside: bool = False) -> Tensor:
    """Return the mean of the square around each pixel: rows first, then columns, which is faster.

    Args:
        x: ``(N, C, H, W)``.
        window: Side of the square in pixels, odd.
        zeros_outside: Count zeros outside the picture; otherwise only its pixels count.
    """
    reach = window // 2
    rows = F.avg_pool2d(x, (window, 1), 1, (reach, 0), count_include_pad=zeros_outside)
    return F.avg_pool2d(rows, (1, window), 1, (0, reach), count_include_pad=zeros_outside)


def _up(x: Tensor, size_hw: torch.Size) -> Tensor:
    return F.interpolate(x, size_hw, mode="nearest")


_EPS: Final = 1e-6


@loss("bce-cel")
def bce_cel(prediction: Prediction, target: Tensor) -> Tensor:
    """Cross entropy (mean over pixels) + :func:`consistency`."""
    entropy = F.binary_cross_entropy_with_logits(prediction.logits, target)
    return entropy + consistency(prediction.logits, target)


def consistency(logits: Tensor, target: Tensor) -> Tensor:
    """Return the consistency-enhanced loss: ``sum(s + y - 2 s y) / sum(s + y)``.

    The sums are over the whole batch; with several processes, over each one's part of it.
    """
    saliency = logits.sigmoid()
    shared = (saliency * target).sum()
    total = saliency.sum() + target.sum()
    return (total - 2 * shared) / (total + _EPS)


_BETA: Final = 1.1
_SALIENT: Final = 0.8
_EMPTY: Final = 0.01


@loss("balanced-bce")
def balanced_bce(prediction: Prediction, target: Tensor) -> Tensor:
    """Class-balanced cross entropy, summed over an image's pixels (SDNet).

    The weights of salient and background pixels are inversely proportional to their numbers;
    pixels with values in between get the mean of the two weights.
    """
    summed = F.binary_cross_entropy_with_logits(
        prediction.logits, target, balance(target), reduction="sum"
    )
    return summed / len(target)


def balance(target: Tensor) -> Tensor:
    """Return the weight of each pixel per item of ``target``, ``(N, ..., H, W)`` in ``[0, 1]``."""
    inner = tuple(range(1, target.ndim))
    salient, empty = target > _SALIENT, target < _EMPTY
    positives = salient.sum(inner, keepdim=True)
    negatives = empty.sum(inner, keepdim=True)
    counted = (positives + negatives).clamp(min=1)
    on_salient, on_empty = negatives / counted, _BETA * positives / counted
    between = (on_salient + on_empty) / 2
    return torch.where(salient, on_salient, torch.where(empty, on_empty, between))


@loss("bce")
def bce(prediction: Prediction, target: Tensor) -> Tensor:
    """Cross entropy, averaged over the pixels and summed over a clip's frames (RCRNet)."""
    frames = target.shape[1] if target.ndim == 5 else 1
    return F.binary_cross_entropy_with_logits(prediction.logits, target) * frames


_WINDOW: Final = 11
_SIGMA: Final = 1.5
_C1: Final = 0.01**2
_C2: Final = 0.03**2


@loss("bce-ssim-iou")
def bce_ssim_iou(prediction: Prediction, target: Tensor) -> Tensor:
    """Cross entropy (mean) + (1 - SSIM) + soft IoU loss, computed per frame and averaged."""
    logits = prediction.logits.reshape(-1, *target.shape[-3:])
    target = target.reshape(-1, *target.shape[-3:])
    saliency = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    return entropy + (1 - ssim(saliency, target).mean()) + soft_iou_loss(saliency, target)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the structural similarity of two ``(N, 1, H, W)`` in ``[0, 1]``, per pixel.

    Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5; zero padding.
    """
    mean_a, mean_b, square_a, square_b, product = _blur(torch.stack([a, b, a * a, b * b, a * b]))
    var_a, var_b = square_a - mean_a**2, square_b - mean_b**2
    covariance = product - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    score: Tensor = likeness / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))
    return score


def _blur(maps: Tensor) -> Tensor:
    """Blur each map of ``(K, N, 1, H, W)``.

    The maps are treated as one picture of K N channels: this depthwise convolution is 30 times as
    fast on CPUs as a convolution of K N pictures of one channel.
    """
    x = torch.arange(_WINDOW, dtype=maps.dtype, device=maps.device) - _WINDOW // 2
    line = torch.exp(-(x**2) / (2 * _SIGMA**2))
    channels = maps.flatten(0, 2)[None]
    count, reach = channels.shape[1], _WINDOW // 2
    kernel = (line / line.sum()).expand(count, 1, 1, _WINDOW)
    rows = F.conv2d(channels, kernel, padding=(0, reach), groups=count)
    both = F.conv2d(rows, kernel.transpose(2, 3), padding=(reach, 0), groups=count)
    return both.view_as(maps)


def soft_iou_loss(saliency: Tensor, target: Tensor) -> Tensor:
    """Return ``1 - soft IoU`` of ``(N, 1, H, W)``, averaged over N."""
    both = (saliency * target).sum((-3, -2, -1))
    either = saliency.sum((-3, -2, -1)) + target.sum((-3, -2, -1)) - both
    return (1 - (both + _EPS) / (either + _EPS)).mean()


# Lite: edge-weighted cross entropy and overlap, and structural similarity.

_LITE_EDGE: Final = 4.0
_LITE_WINDOW: Final = 31
_LITE_SSIM: Final = 0.3
_LITE_COARSE: Final = (0.4, 0.3, 0.2)  # at strides 4, 8, 16


@loss("region-ssim")
def region_ssim(prediction: Prediction, target: Tensor) -> Tensor:
    """Weighted cross entropy + weighted IoU at every scale, and 0.3 (1 - SSIM) of the map.

    Pixels that differ from their local mean have a weight of up to 5 (as in F3Net, AAAI 2020, with
    another factor). ``prediction.aux["coarse"]`` holds logits at lower resolutions, compared with
    the area mean of ``target``; in eval mode it is missing, and these terms are left out.
    """
    total = _weighted_region(prediction.logits, target, _LITE_WINDOW)
    total = total + _LITE_SSIM * (1 - ssim(prediction.logits.sigmoid(), target).mean())
    for weight, logits in zip(_LITE_COARSE, prediction.aux.get("coarse", ()), strict=False):
        small = F.adaptive_avg_pool2d(target, (logits.shape[-2], logits.shape[-1]))
        factor = target.shape[-1] // small.shape[-1]
        total = total + weight * _weighted_region(logits, small, max(3, _LITE_WINDOW // factor | 1))
    return total


def _weighted_region(logits: Tensor, target: Tensor, window: int) -> Tensor:
    around = _local_mean(target, window)
    weight = 1 + _LITE_EDGE * (around - target).abs()
    inner = (-3, -2, -1)
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none")
    saliency = logits.sigmoid()
    both = (saliency * target * weight).sum(inner)
    either = ((saliency + target - saliency * target) * weight).sum(inner)
    overlap = 1 - (both + 1) / (either + 1)
    return (entropy.sum(inner) / weight.sum(inner) + overlap).mean()
