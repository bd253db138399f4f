"""ResNet-50 with dilations instead of its last strides (arXiv 1512.03385, 1706.05587)."""

from typing import Any, Final

import timm
from torch import Tensor, nn

CHANNELS: Final = (256, 512, 1024, 2048)
_LAYERS: Final = ("layer1", "layer2", "layer3", "layer4")
# Stride of the finest feature's successors, and the dilation of every block, by output stride.
_STRIDES: Final = {16: (1, 2, 2, 1), 8: (1, 2, 1, 1)}
_DILATIONS: Final = {16: (1, 1, 1, 2), 8: (1, 1, 2, 2)}


class DilatedResNet(nn.Module):
    """Four features, at /4, /8, /16 (or /8) and again /16 (or /8).

    Args:
        channels_in: Of the input.
        output_stride: 16 or 8.
    """

    def __init__(self, channels_in: int = 3, output_stride: int = 16) -> None:
        super().__init__()
        net: Any = timm.create_model(
            "resnet50", pretrained=False, num_classes=0, in_chans=channels_in
        )
        self.conv1, self.bn1, self.act1, self.maxpool = net.conv1, net.bn1, net.act1, net.maxpool
        plan = zip(_LAYERS, _STRIDES[output_stride], _DILATIONS[output_stride], strict=True)
        for name, stride, dilation in plan:
            layer = getattr(net, name)
            _dilate(layer, stride, dilation)
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(N, C, H, W)`` to the features, finest first."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        features = []
        for name in _LAYERS:
            x = getattr(self, name)(x)
            features.append(x)
        return features


def _dilate(layer: Any, stride: int, dilation: int) -> None:
    """Give a layer its stride and all its blocks one dilation.

    timm's own ``output_stride`` leaves the first block the dilation of the layer before.
    """
    for block in layer:
        block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    layer[0].conv2.stride = (stride, stride)
    layer[0].downsample[0].stride = (stride, stride)
