"""Parallel axial attention of InSPyReNet (ACCV 2022, arXiv 2209.09475).

PAA comes from UACANet (arXiv 2107.02368): PAA_e enriches each feature of the backbone, PAA_d merges
the three coarsest and makes the first saliency map.
"""

from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models.convnorm import ConvNorm, ConvReLU, same_conv
from sodcli.models.resample import resize

WIDTH: Final = 64


class SelfAttention(nn.Module):
    """Attention between places along one axis, all channels and the other axis taken together.

    The published code re-reads the map's memory as rows of ``H`` (or ``W``) numbers instead of
    transposing it, so along the height the "columns" are runs of ``H`` neighbours in memory. The
    weights were trained with that; it stays.
    """

    def __init__(self, channels: int, axis: Literal["height", "width"]) -> None:
        super().__init__()
        self.axis = -2 if axis == "height" else -1
        self.query_conv = ConvNorm(channels, channels // 8, 1)
        self.key_conv = ConvNorm(channels, channels // 8, 1)
        self.value_conv = ConvNorm(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        runs = (x.shape[0], -1, x.shape[self.axis])
        query = self.query_conv.pointwise(x).reshape(runs)
        key = self.key_conv.pointwise(x).reshape(runs)
        value = self.value_conv.pointwise(x).reshape(runs)
        weights = (query.mT @ key).softmax(-1)
        attended: Tensor = (value @ weights.mT).reshape(x.shape)
        return self.gamma * attended + x


class AxialAttention(nn.Module):
    """The sum of attention along the height and along the width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.height = SelfAttention(channels, "height")
        self.width = SelfAttention(channels, "width")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        x = x.contiguous()  # both re-read its memory
        y: Tensor = self.height(x) + self.width(x)
        return y


class Branch(nn.Module):
    """PAA_kernel: a wide view (``reach`` x ``reach``, dilation ``reach``) with axial attention."""

    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.conv0 = ConvNorm(channels, WIDTH, 1)
        self.conv1 = ConvNorm(WIDTH, WIDTH, (1, reach))
        self.conv2 = ConvNorm(WIDTH, WIDTH, (reach, 1))
        self.conv3 = ConvNorm(WIDTH, WIDTH, 3, dilation=reach)
        self.attention = AxialAttention(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, 64, H, W)``."""
        y: Tensor = self.conv3(self.attention(self.conv2(self.conv1(self.conv0(x)))))
        return y


class Context(nn.Module):
    """PAA_e: a point-wise and three wide branches, merged around a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch0 = ConvNorm(channels, WIDTH, 1)
        self.branch1 = Branch(channels, 3)
        self.branch2 = Branch(channels, 5)
        self.branch3 = Branch(channels, 7)
        self.conv_cat = ConvNorm(4 * WIDTH, WIDTH, 3)
        self.conv_res = ConvNorm(channels, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, 64, H, W)``."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        merged = self.conv_cat(torch.cat([branch(x) for branch in branches], dim=1))
        return F.relu(merged + self.conv_res(x))


class Decoder(nn.Module):
    """PAA_d: merge the three coarsest contexts; the coarsest saliency map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3 * WIDTH, WIDTH, 3)
        self.attention = AxialAttention(WIDTH)
        self.conv2 = ConvNorm(WIDTH, WIDTH, 3)
        self.conv3 = ConvNorm(WIDTH, WIDTH, 3)
        self.conv4 = ConvNorm(WIDTH, WIDTH, 3)
        self.conv5 = ConvReLU(same_conv(WIDTH, 1, 3), relu=False)

    def forward(self, x3: Tensor, x4: Tensor, x5: Tensor) -> tuple[Tensor, Tensor]:
        """Map contexts to features ``(N, 64, H, W)`` and logits ``(N, 1, H, W)`` of x3's size."""
        coarser = [resize(x, x3.shape[-2:], corners=True) for x in (x5, x4)]
        x = self.attention(self.conv1(torch.cat([*coarser, x3], dim=1)))
        features = self.conv4(self.conv3(self.conv2(x)))
        return features, self.conv5(features)
