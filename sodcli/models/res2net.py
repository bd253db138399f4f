"""Res2Net-50 v1b 26w x 4s with the dilations of InSPyReNet (arXiv 1904.01169)."""

from collections.abc import Iterable
from typing import Any, Final

import timm
from torch import Tensor, nn

CHANNELS: Final = (64, 256, 512, 1024, 2048)
# Strides stay 1, 2, 2, 2: the dilations come on top. The last stage is a multi-grid of 1, 2, 4.
_DILATIONS: Final = {"layer3": (2,) * 6, "layer4": (4, 8, 16)}


class Res2Net(nn.Module):
    """Five features: the stem after its pooling, then each of the four stages."""

    def __init__(self) -> None:
        super().__init__()
        net: Any = timm.create_model("res2net50d", pretrained=False, num_classes=0)
        self.conv1, self.bn1, self.act1, self.maxpool = net.conv1, net.bn1, net.act1, net.maxpool
        self.layer1, self.layer2 = net.layer1, net.layer2
        self.layer3, self.layer4 = net.layer3, net.layer4
        for name, dilations in _DILATIONS.items():
            _dilate(getattr(net, name), dilations)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(N, 3, H, W)`` to maps at /4, /4, /8, /16 and /32."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        features = [x]
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features


def _dilate(blocks: Iterable[Any], dilations: tuple[int, ...]) -> None:
    for block, dilation in zip(blocks, dilations, strict=True):
        for conv in block.convs:
            conv.dilation = conv.padding = (dilation, dilation)
