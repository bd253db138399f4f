"""The blocks that enrich and gate backbone features in the decoders of SDNet and STDNet.

Paper: arXiv 2507.01182. CDCM is the compact dilation convolution module, CSAM the compact spatial
attention module.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class DilationModule(nn.Module):
    """CDCM: reduce the channels, then sum what several dilations see.

    Args:
        channels: Input and output channels.
        dilations: Dilation of each 3x3 branch; 1 stands for the reduced features themselves.
    """

    def __init__(self, channels: tuple[int, int], dilations: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = zero_bias(nn.Conv2d(*channels, 1))
        self.conv_dils = nn.ModuleList(_dilated(channels[1], rate) for rate in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H, W)``."""
        z = self.conv1(F.relu(x))
        first, *others = self.conv_dils
        y: Tensor = first(z)
        for branch in others:
            y = y + branch(z)
        return y


class SpatialAttention(nn.Module):
    """CSAM: scale every pixel by a learned score in (0, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = zero_bias(nn.Conv2d(channels, 4, 1))
        self.conv2 = nn.Conv2d(4, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        score: Tensor = self.conv2(self.conv1(F.relu(x)))
        return x * score.sigmoid()


def zero_bias(conv: nn.Conv2d) -> nn.Conv2d:
    """Return ``conv`` with its bias set to zero, the paper's initial value."""
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _dilated(channels: int, rate: int) -> nn.Module:
    if rate == 1:
        return nn.Identity()
    return nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate, bias=False)
