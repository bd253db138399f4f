"""Loss of STDNet (arXiv 2507.01182): cross entropy, structural similarity and region overlap."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from sodcli.models._base import Prediction
from sodcli.training.losses._base import loss

_WINDOW: Final = 11
_SIGMA: Final = 1.5
_C1: Final = 0.01**2
_C2: Final = 0.03**2
_EPS: Final = 1e-6


@loss("bce-ssim-iou")
def bce_ssim_iou(prediction: Prediction, target: Tensor) -> Tensor:
    """Cross entropy (mean) + (1 - SSIM) + soft IoU loss, each per frame, then averaged."""
    logits = prediction.logits.reshape(-1, *target.shape[-3:])
    target = target.reshape(-1, *target.shape[-3:])
    saliency = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    return entropy + (1 - ssim(saliency, target).mean()) + soft_iou_loss(saliency, target)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the structural similarity of two ``(N, 1, H, W)`` in ``[0, 1]``, per pixel.

    Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5; zeros beyond the border.
    """
    x = torch.arange(_WINDOW, dtype=a.dtype, device=a.device) - _WINDOW // 2
    line = torch.exp(-(x**2) / (2 * _SIGMA**2))
    line = line / line.sum()

    def blur(z: Tensor) -> Tensor:
        rows = F.conv2d(z, line.view(1, 1, 1, -1), padding=(0, _WINDOW // 2))
        return F.conv2d(rows, line.view(1, 1, -1, 1), padding=(_WINDOW // 2, 0))

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return likeness / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))


def soft_iou_loss(saliency: Tensor, target: Tensor) -> Tensor:
    """Return one minus the soft intersection over union of ``(N, 1, H, W)``, averaged over N."""
    both = (saliency * target).sum((-3, -2, -1))
    either = saliency.sum((-3, -2, -1)) + target.sum((-3, -2, -1)) - both
    return (1 - (both + _EPS) / (either + _EPS)).mean()
