"""RCRNet: salient object detection in pictures and, with its recurrent module, in film clips.

Paper: ICCV 2019, arXiv 1908.04051.
"""

from collections.abc import Sequence
from typing import Any, Final, Self

import timm
import torch
from timm.models.resnet import Bottleneck
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models._base import Prediction
from sodcli.models.convnorm import ConvNorm, ConvReLU
from sodcli.models.resample import resize


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: 1x1 and dilated 3x3 branches and global average pooling.

    Args:
        channels_in: Input channels.
        channels_out: Channels of each branch and of the output.
        dilations: Dilation of each 3x3 branch.
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


class NonLocal(nn.Module):
    """Non-local block over all positions of a clip (arXiv 1711.07971), dot-product version.

    The attention is divided by the number of positions and has no softmax, so the product is
    computed as ``theta^T (phi g^T)``, without the matrix of all pairs of positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.g, self.theta, self.phi = (nn.Conv1d(channels, inner, 1) for _ in range(3))
        self.out = nn.Conv1d(inner, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, T, H, W)`` to the same shape."""
        places = x.flatten(2)
        g, theta, phi = (conv(places) for conv in (self.g, self.theta, self.phi))
        summary = g @ phi.mT / places.shape[-1]
        y: Tensor = self.out(summary @ theta)
        return y.view_as(x) + x


class ConvGRU(nn.Module):
    """Gated recurrent unit with 3x3 convolutions (arXiv 1511.06432)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reset_gate, self.update_gate, self.output_gate = (
            nn.Conv2d(2 * channels, channels, 3, padding=1) for _ in range(3)
        )

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the next state; ``x`` and ``state`` are ``(N, C, H, W)``."""
        both = torch.cat([x, state], dim=1)
        reset, update = self.reset_gate(both).sigmoid(), self.update_gate(both).sigmoid()
        new = self.output_gate(torch.cat([x, reset * state], dim=1)).tanh()
        y: Tensor = (1 - update) * new + update * state
        return y


class NonLocalRecurrent(nn.Module):
    """NER: non-local block, bidirectional ConvGRU over time, non-local block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before, self.after = NonLocal(channels), NonLocal(channels)
        self.forth, self.back = ConvGRU(channels), ConvGRU(channels)
        self.merge = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, C, H, W)`` to the same shape.

        The forward pass over time starts with the first frame as its state. The backward pass
        starts with the last forward state and takes the forward states as inputs.
        """
        frames = self.before(x.transpose(1, 2)).unbind(2)
        state = frames[0]
        forth = [state := self.forth(frame, state) for frame in frames]
        back = [state := self.back(seen, state) for seen in reversed(forth)]
        merged = [
            self.merge(torch.cat(pair, dim=1)).tanh()
            for pair in zip(forth, reversed(back), strict=True)
        ]
        y: Tensor = self.after(torch.stack(merged, dim=2))
        return y.transpose(1, 2)


CHANNELS: Final = (256, 512, 1024, 2048)
_LAYERS: Final = ("layer1", "layer2", "layer3", "layer4")
# Stride of each layer and dilation of all its blocks, by output stride.
_STRIDES: Final = {16: (1, 2, 2, 1), 8: (1, 2, 1, 1)}
_STAGE_DILATIONS: Final = {16: (1, 1, 1, 2), 8: (1, 1, 2, 2)}


class DilatedResNet(nn.Module):
    """ResNet-50 with four features, at /4, /8, /16 (or /8) and again /16 (or /8).

    Args:
        channels_in: Input channels.
        output_stride: 16 or 8.
    """

    def __init__(self, channels_in: int = 3, output_stride: int = 16) -> None:
        super().__init__()
        net: Any = timm.create_model(
            "resnet50", pretrained=False, num_classes=0, in_chans=channels_in
        )
        self.conv1, self.bn1, self.act1, self.maxpool = net.conv1, net.bn1, net.act1, net.maxpool
        plan = zip(_LAYERS, _STRIDES[output_stride], _STAGE_DILATIONS[output_stride], strict=True)
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
    """Set the stride of a layer and the dilation of all its blocks.

    timm's own ``output_stride`` gives the first block the dilation of the previous layer.
    """
    for block in layer:
        block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    layer[0].conv2.stride = (stride, stride)
    layer[0].downsample[0].stride = (stride, stride)


_CONTEXT: Final = 256
_REFINED: Final = 128
_SKIP: Final = 96
_DILATIONS: Final = {16: (6, 12, 18), 8: (12, 24, 36)}
_SCALE: Final = 4  # from the decoder's finest features to the picture
_BLOCK: Final = 16  # channels of ``conv1`` that ``_classify_inside`` processes at a time
_BIAS: Final = 0.001  # initial bias of norms and convolutions, as published


class _Reduce(Bottleneck):
    expansion = 2


class Refine(nn.Module):
    """Reduce the channels of a backbone feature and merge it with the coarser decoder feature."""

    def __init__(self, channels_in: int, channels_above: int) -> None:
        super().__init__()
        shortcut = nn.Sequential(
            nn.Conv2d(channels_in, _SKIP, 1, bias=False), nn.BatchNorm2d(_SKIP)
        )
        self.skip = _Reduce(channels_in, _SKIP // _Reduce.expansion, downsample=shortcut)
        self.merge = ConvNorm(channels_above + _SKIP, _REFINED, 3, relu=True)

    def forward(self, feature: Tensor, above: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` and ``(N, C', h, w)`` to ``(N, 128, H, W)``."""
        above = resize(above, feature.shape[-2:])
        y: Tensor = self.merge(torch.cat([above, self.skip(feature)], dim=1))
        return y


class Decoder(nn.Module):
    """From context to logits: three refinements and two convolutions at the input's size."""

    enlarging: Tensor
    conv1: ConvReLU

    def __init__(self) -> None:
        super().__init__()
        above = (_CONTEXT, _REFINED, _REFINED)
        self.refinements = nn.ModuleList(
            Refine(*channels) for channels in zip(CHANNELS[2::-1], above, strict=True)
        )
        self.conv1 = ConvNorm(_REFINED, 2 * _REFINED, 3, relu=True)
        self.conv2 = nn.Conv2d(2 * _REFINED, 1, 1)
        self.register_buffer("enlarging", _enlarging_kernel(), persistent=False)

    def forward(self, features: Sequence[Tensor], y: Tensor, size_hw: tuple[int, ...]) -> Tensor:
        """Map three features, finest first, and their context to logits ``(N, 1, *size_hw)``."""
        for refine, feature in zip(self.refinements, reversed(features), strict=True):
            y = refine(feature, y)
        fourfold = tuple(size_hw) == tuple(_SCALE * side for side in y.shape[-2:])
        if fourfold and not isinstance(self.conv1, ConvNorm):
            return self._classify_fourfold(y)
        return self._classify(resize(y, size_hw))

    def _classify(self, enlarged: Tensor) -> Tensor:
        logits: Tensor = self.conv2(self.conv1(enlarged))
        return logits

    def _classify_fourfold(self, y: Tensor) -> Tensor:
        """Return ``_classify`` of ``y`` at four times its size, with folded norms.

        Border pixels are computed apart: there ``conv1`` reads its zero padding. An eighth of the
        multiplications remain.
        """
        two = 2 * _SCALE  # pixels that two rows or columns of ``y`` become
        height, width = (_SCALE * side for side in y.shape[-2:])
        top = self._classify(resize(y[:, :, :2], (two, width))[:, :, :2])[:, :, :1]
        bottom = self._classify(resize(y[:, :, -2:], (two, width))[:, :, -2:])[:, :, 1:]
        left = self._classify(resize(y[..., :2], (height, two))[..., :2])[:, :, 1:-1, :1]
        right = self._classify(resize(y[..., -2:], (height, two))[..., -2:])[:, :, 1:-1, 1:]
        inner = self._classify_inside(y)[:, :, 1:-1, 1:-1]
        return torch.cat([top, torch.cat([left, inner, right], dim=3), bottom], dim=2)

    def _classify_inside(self, y: Tensor) -> Tensor:
        """Like ``_classify_fourfold``, but wrong on the outermost pixels.

        Enlarging and convolution are linear, so the channels are mixed at the size of ``y``, once
        for each of the nine places of the 3x3 kernel. A second convolution, the same for every
        channel, enlarges the nine maps, shifts them and adds them up: it gives the 16 pixels that a
        pixel of ``y`` becomes. Some channels at a time, so that the memory stays small.
        """
        conv, last = self.conv1.conv, self.conv2
        kernels = conv.weight.permute(0, 2, 3, 1).flatten(1, 2)
        bias = conv.get_parameter("bias")[:, None]
        places = y.flatten(2).contiguous()
        logits = y.new_zeros(1)
        for first in range(0, len(kernels), _BLOCK):
            block = slice(first, first + _BLOCK)
            maps = (kernels[block].flatten(0, 1) @ places).reshape(-1, 9, *y.shape[-2:])
            maps = F.pad(maps, [1] * 4, mode="replicate")
            maps = maps.contiguous(memory_format=torch.channels_last)  # twice as fast
            pixels = F.conv2d(maps, self.enlarging).permute(0, 2, 3, 1)
            pixels = pixels.reshape(len(y), _BLOCK, -1) + bias[block]
            logits = logits + last.weight[:, block, 0, 0] @ F.relu_(pixels)
        logits = logits.reshape(len(y), *y.shape[-2:], -1).permute(0, 3, 1, 2)
        logits = logits + last.get_parameter("bias")
        return F.pixel_shuffle(logits, _SCALE)


def _enlarging_kernel() -> Tensor:
    """Return the second kernel of ``_classify_inside``: ``(16, 9, 3, 3)``.

    Along one axis, ``line[pixel, place, neighbour]`` is the weight of a neighbour in the bilinear
    value that one place of the 3x3 kernel reads for one of the four pixels.
    """
    line = torch.zeros(_SCALE, 3, 3)
    for pixel in range(_SCALE):
        for place in range(3):
            at = (pixel + place - 1 + 0.5) / _SCALE + 0.5
            left = int(at)
            line[pixel, place, left] += left + 1 - at
            line[pixel, place, left + 1] += at - left
    return torch.einsum("pya,qxb->pqyxab", line, line).reshape(_SCALE**2, 9, 3, 3)


class FrameNet(nn.Module):
    """The parts that process single frames: backbone, ASPP and decoder.

    Args:
        channels_in: Input channels.
        output_stride: 16 or 8.
    """

    def __init__(self, channels_in: int, output_stride: int) -> None:
        super().__init__()
        self.resnet = DilatedResNet(channels_in, output_stride)
        self.aspp = ASPP(CHANNELS[-1], _CONTEXT, _DILATIONS[output_stride])
        self.decoder = Decoder()
        for part in (self.aspp, self.decoder):
            part.apply(_initialise)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return three features, finest first, and the context, ``(N, 256, h, w)``."""
        *features, top = self.resnet(x)
        return [*features, self.aspp(top)]


class RCRNet(nn.Module):
    """The image model; training updates its batch norms' scale and shift, not their statistics.

    Args:
        channels_in: Input channels.
        output_stride: 16 or 8.
    """

    def __init__(self, channels_in: int = 3, output_stride: int = 16) -> None:
        super().__init__()
        self.backbone = FrameNet(channels_in, output_stride)
        self.train()

    def forward(self, x: Tensor) -> Prediction:
        """Map ``(N, C, H, W)``, normalised, to logits ``(N, 1, H, W)``."""
        *features, context = self.backbone(x)
        return Prediction(self.backbone.decoder(features, context, x.shape[-2:]))

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all modules except the batch norms, which stay in eval mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class FilmRCRNet(RCRNet):
    """The video model: NER between context and decoder."""

    def __init__(self, output_stride: int = 16) -> None:
        super().__init__(output_stride=output_stride)
        self.recurrent = NonLocalRecurrent(_CONTEXT)

    def forward(self, x: Tensor) -> Prediction:
        """Map ``(N, T, 3, H, W)``, normalised, to logits ``(N, T, 1, H, W)``."""
        return Prediction(self.decode(self.features(x.flatten(0, 1)), x.shape[1], x.shape[-2:]))

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the features and the context of frames ``(N, 3, H, W)``; see :class:`FrameNet`."""
        features: list[Tensor] = self.backbone(x)
        return features

    def decode(
        self,
        features: list[Tensor],
        frames: int,
        size_hw: tuple[int, ...],
        newest: int | None = None,
    ) -> Tensor:
        """Return logits ``(N, T, 1, H, W)`` for features ``(N * T, ...)``.

        With ``newest``, only those of the last ``newest`` frames of each clip. Frames are decoded
        one at a time to limit memory, which peaks at the input's size.
        """
        *levels, context = (y.view(-1, frames, *y.shape[1:]) for y in features)
        states = self.recurrent(context)
        logits = [
            self.backbone.decoder([level[:, at] for level in levels], states[:, at], size_hw)
            for at in range(frames - (newest or frames), frames)
        ]
        return torch.stack(logits, dim=1)


def build(*, recurrent: bool = False, output_stride: int = 16) -> RCRNet:
    """Return the network with fresh weights.

    Args:
        recurrent: Build the model for clips instead of the one for pictures.
        output_stride: Output stride of the backbone: 16, or 8 for the paper's finer variant.
    """
    return FilmRCRNet(output_stride) if recurrent else RCRNet(output_stride=output_stride)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and module.bias is not None:
        nn.init.constant_(module.bias, _BIAS)
