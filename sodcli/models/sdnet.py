"""SDNet and SDNet-A: salient object detection in pictures with under a million parameters.

Paper: arXiv 2507.01182 (TPAMI 2025).
"""

from typing import Final

import torch
from torch import Tensor, nn

from sodcli.models._base import Prediction
from sodcli.models.diffnet import CHANNELS, DiffNet, DilationModule, SpatialAttention, zero_bias
from sodcli.models.pdc import Norm
from sodcli.models.resample import resize

_WIDTH: Final = 24
_DILATIONS: Final = ((1, 3), (1, 3, 5), (3, 5, 7, 9), (5, 7, 9, 11))


class Decoder(nn.Module):
    """Apply CDCM and CSAM to each stage, then merge from the coarsest to the finest."""

    def __init__(self) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(SpatialAttention(_WIDTH) for _ in CHANNELS)
        self.dilations = nn.ModuleList(
            DilationModule((channels, _WIDTH), rates)
            for channels, rates in zip(CHANNELS, _DILATIONS, strict=True)
        )
        self.conv_reduces = nn.ModuleList(
            zero_bias(nn.Conv2d(2 * _WIDTH, out, 1)) for out in (1, _WIDTH, _WIDTH)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the four stages to logits ``(N, 1, H / 2, W / 2)``."""
        laterals: list[Tensor] = [
            attend(dilate(x))
            for attend, dilate, x in zip(self.attentions, self.dilations, features, strict=True)
        ]
        *finer, merged = laterals
        for reduce, lateral in zip(reversed(self.conv_reduces), reversed(finer), strict=True):
            merged = reduce(torch.cat([lateral, resize(merged, lateral.shape[-2:])], dim=1))
        return merged


class SDNet(nn.Module):
    """Backbone and decoder; one output, no side outputs."""

    def __init__(self, backbone: str, norm: Norm) -> None:
        super().__init__()
        self.backbone = DiffNet(backbone, norm)
        self.decoder = Decoder()

    def forward(self, x: Tensor) -> Prediction:
        """Map ``(N, 3, H, W)``, normalised, H and W >= 16, to logits ``(N, 1, H, W)``."""
        return Prediction(resize(self.decoder(self.backbone(x)), x.shape[-2:]))


def build(*, backbone: str = "sdnet", norm: Norm = "none") -> SDNet:
    """Return the network in its training form, with fresh weights.

    Args:
        backbone: ``"sdnet"``, or ``"sdnet-a"`` with MobileViT blocks.
        norm: Batch norm inside the difference convolutions:
            see :class:`sodcli.models.pdc.PixelDifferenceConv`.
    """
    return SDNet(backbone, norm)
