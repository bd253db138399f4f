"""Atrous spatial pyramid pooling (DeepLabv3, arXiv 1706.05587)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sodcli.models.convnorm import ConvNorm
from sodcli.models.resample import resize


class ASPP(nn.Module):
    """Look at a feature through several dilations and as a whole, and merge what is seen.

    Args:
        channels_in: Of the feature.
        channels_out: Of each branch and of the result.
        dilations: One branch of 3x3 for each, beside the one of 1x1.
    """

    def __init__(self, channels_in: int, channels_out: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNorm(channels_in, channels_out, 1, relu=True),
                *(ConvNorm(channels_in, channels_out, 3, dilation=d, relu=True) for d in dilations),
            ]
        )
        self.pool = ConvNorm(channels_in, channels_out, 1, relu=True)
        total = channels_out * (len(self.branches) + 1)
        self.merge = ConvNorm(total, channels_out, 3, relu=True)
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H, W)``."""
        whole = resize(self.pool(x.mean((-2, -1), keepdim=True)), x.shape[-2:])
        seen = torch.cat([whole, *(branch(x) for branch in self.branches)], dim=1)
        y: Tensor = self.dropout(self.merge(seen))
        return y
