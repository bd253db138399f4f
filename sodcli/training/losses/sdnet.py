"""Losses of SDNet (arXiv 2507.01182) and the plain one of RCRNet (arXiv 1908.04051)."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from sodcli.models._base import Prediction
from sodcli.training.losses._base import loss

_BETA: Final = 1.1
_SALIENT: Final = 0.8
_EMPTY: Final = 0.01


@loss("balanced-bce")
def balanced_bce(prediction: Prediction, target: Tensor) -> Tensor:
    """Weighted cross entropy, summed over an image's pixels: SDNet.

    Salient and empty pixels weigh in inverse proportion to their number, pixels in between the
    mean of the two.
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
    """Cross entropy, mean over the pixels; a clip's frames are summed: RCRNet."""
    frames = target.shape[1] if target.ndim == 5 else 1
    return F.binary_cross_entropy_with_logits(prediction.logits, target) * frames
