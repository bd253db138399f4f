"""Loss of InSPyReNet (ACCV 2022, arXiv 2209.09475): every pyramid level, and their agreement."""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from sodcli.models._base import Prediction
from sodcli.models.pyramid import reduce
from sodcli.training.losses._base import loss

_EDGE_WEIGHT: Final = 5.0
_EDGE_WINDOW: Final = 31
_CONSISTENCY: Final = 1e-4


@loss("pyramid")
def pyramid(prediction: Prediction, target: Tensor) -> Tensor:
    """Weighted cross entropy + IoU on each level, + 1e-4 times pyramidal consistency.

    ``prediction.aux["saliency"]`` holds the coarser logits, coarsest first, each half the size of
    the next; ``prediction.logits`` is the finest. Every level is judged at full size (nearest).
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
    """Return edge-weighted cross entropy + per-pixel IoU loss, both plain means."""
    return edge_bce(logits, target) + pixel_iou(logits, target)


def edge_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy in which pixels unlike the mean of their surroundings weigh up to six times."""
    around = F.avg_pool2d(target, _EDGE_WINDOW, stride=1, padding=_EDGE_WINDOW // 2)
    weight = 1 + _EDGE_WEIGHT * (around - target).abs()
    return F.binary_cross_entropy_with_logits(logits, target, weight)


def pixel_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean over pixels of ``1 - (s y + 1) / (s + y - s y + 1)``."""
    saliency = logits.sigmoid()
    both = saliency * target
    return (1 - (both + 1) / (saliency + target - both + 1)).mean()


def _up(x: Tensor, size_hw: torch.Size) -> Tensor:
    return F.interpolate(x, size_hw, mode="nearest")
