"""Loss of MINet (CVPR 2020, arXiv 2007.09062): cross entropy and consistency-enhanced loss."""

from typing import Final

from torch import Tensor
from torch.nn import functional as F

from sodcli.models._base import Prediction
from sodcli.training.losses._base import loss

_EPS: Final = 1e-6


@loss("bce-cel")
def bce_cel(prediction: Prediction, target: Tensor) -> Tensor:
    """Cross entropy (mean over pixels) + :func:`consistency`."""
    entropy = F.binary_cross_entropy_with_logits(prediction.logits, target)
    return entropy + consistency(prediction.logits, target)


def consistency(logits: Tensor, target: Tensor) -> Tensor:
    """Return the consistency-enhanced loss: what is not shared, over all there is.

    One ratio for the whole batch; with several processes, for each one's part of it.
    """
    saliency = logits.sigmoid()
    shared = (saliency * target).sum()
    total = saliency.sum() + target.sum()
    return (total - 2 * shared) / (total + _EPS)
