"""MINet: multi-scale interactive network.

Paper: CVPR 2020, arXiv 2007.09062.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal, cast

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sodcli.models._base import Prediction
from sodcli.models.fast_conv import EnlargingConv, WinogradConv
from sodcli.models.resample import pad_to, resize

Levels = Mapping[str, Tensor]
Upsampling = Literal["nearest", "bilinear"]
_ORDER: Final = "hml"
_WIDE: Final = 512  # input channels from which Winograd's convolution is faster


class Sources(nn.Module):
    """Sum of one 3x3 convolution per source, at the resolution of one level.

    Args:
        level: Level of the output; finer sources are average-pooled by 2, coarser ones enlarged.
        convs: The convolution of each source.
        up: Interpolation mode for coarser sources.
    """

    def __init__(self, level: str, convs: Mapping[str, nn.Module], up: Upsampling) -> None:
        super().__init__()
        self.level, self.up = level, up
        self.convs = nn.ModuleDict(convs)

    def forward(self, levels: Levels) -> Tensor:
        """Map the sources among ``levels``, ``(N, C, H, W)`` each, to ``(N, C', h, w)``."""
        parts = [conv(self._fitted(levels, name)) for name, conv in self.convs.items()]
        y: Tensor = sum(parts[1:], start=parts[0])
        return y

    def _fitted(self, levels: Levels, name: str) -> Tensor:
        x, distance = levels[name], self._distance(name)
        if distance == 0 or isinstance(self.convs[name], EnlargingConv):
            return x
        if distance < 0:
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, levels[self.level].shape[-2:], mode=self.up)

    def _distance(self, name: str) -> int:
        """Return how many levels a source is coarser than the output."""
        return _ORDER.index(name) - _ORDER.index(self.level)


class Node(Sources):
    """:class:`Sources` with convolutions of its own, then batch norm.

    Args:
        level: As of :class:`Sources`.
        channels_in: Channels of each source, the finest first.
        channels_out: Output channels.
        up: As of :class:`Sources`.
    """

    def __init__(
        self, level: str, channels_in: Mapping[str, int], channels_out: int, up: Upsampling
    ) -> None:
        convs = {
            name: nn.Conv2d(width, channels_out, 3, padding=1)
            for name, width in channels_in.items()
        }
        super().__init__(level, convs, up)
        self.bn = nn.BatchNorm2d(channels_out)

    def forward(self, levels: Levels) -> Tensor:
        """See :class:`Sources`."""
        y: Tensor = self.bn(super().forward(levels))
        return y

    def folded(self) -> Sources:
        """Return the equivalent without batch norm and with fewer multiplications."""
        convs = cast("dict[str, nn.Conv2d]", dict(self.convs.items()))
        fused = {name: fuse_conv_bn_eval(conv, self.bn) for name, conv in convs.items()}
        biases = [conv.get_parameter("bias").detach() for conv in fused.values()]
        offset = self.bn(torch.zeros_like(biases[0])[None, :, None, None]).flatten().detach()
        for conv in fused.values():
            conv.bias = None
        finest = next(iter(fused.values()))  # never an enlarged one
        finest.bias = nn.Parameter(sum(biases[1:], start=biases[0]) - (len(biases) - 1) * offset)
        return Sources(self.level, {n: self._faster(n, conv) for n, conv in fused.items()}, self.up)

    def _faster(self, name: str, conv: nn.Conv2d) -> nn.Module:
        if self.up == "nearest" and self._distance(name) > 0:
            return EnlargingConv(conv.weight.detach())
        if self.level != "l" and conv.in_channels >= _WIDE:  # its sides are even
            return WinogradConv(conv)
        return conv


class Stage(nn.ModuleDict):
    """Parallel nodes, keyed by level."""

    def forward(self, levels: Levels) -> Levels:
        """Return the output of each node after ReLU, keyed by level."""
        return {name: F.relu(node(levels)) for name, node in self.items()}


class Aggregate(nn.Module):
    """AIM: refine one level of the backbone with its neighbours, with a residual connection.

    Args:
        channels: Channels of each input level, ``h`` first.
        main: The level to refine.
        channels_out: Output channels.
    """

    def __init__(self, channels: Mapping[str, int], main: str, channels_out: int) -> None:
        super().__init__()
        self.main = main
        width = min(channels.values())
        near = _neighbours(list(channels))
        self.stages = nn.ModuleList(
            [
                Stage({b: Node(b, {b: c}, width, "nearest") for b, c in channels.items()}),
                Stage({b: _node(b, near[b], width) for b in channels}),
                Stage({main: _node(main, near[main], width)}),
            ]
        )
        self.merge = _node(main, main, width, channels_out)
        self.identity = nn.Conv2d(channels[main], channels_out, 1)

    def forward(self, levels: Levels) -> Tensor:
        """Map levels ``(N, C, H, W)`` to ``(N, channels_out, h, w)`` at the main level's size."""
        skip = self.identity(levels[self.main])
        for stage in self.stages:
            levels = stage(levels)
        return F.relu(self.merge(levels) + skip)


class SelfInteract(nn.Module):
    """SIM: exchange between a feature and its half-resolution version with fewer channels.

    Args:
        channels: Channels at full and at half resolution.
        residual: Add the input to the output. The published code has done so since 2021; the
            weights of 2020 were trained without it.
    """

    def __init__(self, channels: tuple[int, int], *, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        both = dict(zip("hl", channels, strict=True))
        only = {"h": both["h"]}
        self.stages = nn.ModuleList(
            [
                Stage({b: Node(b, only, c, "bilinear") for b, c in both.items()}),
                Stage({b: Node(b, both, c, "bilinear") for b, c in both.items()}),
                Stage({"h": Node("h", both, both["h"], "bilinear")}),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)``, sides >= 2, to the same shape."""
        levels: Levels = {"h": x}
        for stage in self.stages:
            levels = stage(levels)
        return levels["h"] + x if self.residual else levels["h"]


def _neighbours(names: list[str]) -> dict[str, list[str]]:
    """Map each level to itself and the adjacent levels."""
    return {b: names[max(i - 1, 0) : i + 2] for i, b in enumerate(names)}


def _node(level: str, sources: list[str] | str, width: int, out: int | None = None) -> Node:
    return Node(level, dict.fromkeys(sources, width), out or width, "nearest")


_WIDTH: Final = 64
_NARROW: Final = 32


@dataclass(frozen=True, slots=True)
class _Encoder:
    """A backbone: its name in timm, the stride of its finest feature, each feature's channels.

    ``aggregated`` is the width of the finest feature after its aggregation, ``options`` are more
    arguments of ``timm.create_model``.
    """

    timm_name: str
    stride: int
    channels: tuple[int, ...]
    aggregated: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def strides(self) -> list[int]:
        """Strides of the features, coarsest first."""
        return [self.stride << level for level in reversed(range(len(self.channels)))]


_ENCODERS: Final = {
    "resnet50": _Encoder("resnet50", 2, (64, 256, 512, 1024, 2048), _WIDTH),
    # timm builds the classifier too, which features_only drops: 124 million numbers, here 4.
    "vgg16": _Encoder("vgg16_bn", 1, (64, 128, 256, 512, 512), _NARROW, {"mlp_ratio": 1e-3}),
}


class ConvNormReLU(nn.Sequential):
    """3x3 convolution without bias, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        super().__init__(conv, nn.BatchNorm2d(channels_out), nn.ReLU())


class Decoder(nn.Module):
    """Apply SIM at each level and add the result to the next finer level; keys are strides."""

    def __init__(self, encoder: _Encoder, *, sim_residual: bool) -> None:
        super().__init__()
        wide = {str(stride): _WIDTH for stride in encoder.strides}
        wide[str(encoder.stride)] = encoder.aggregated
        self.sims = nn.ModuleDict(
            {
                stride: SelfInteract((width, width // 2), residual=sim_residual)
                for stride, width in wide.items()
            }
        )
        narrow = {**wide, "1": _NARROW}
        outs = [width for _, width in pairwise([*narrow.values(), _NARROW])]
        self.upconvs = nn.ModuleDict(
            {
                stride: ConvNormReLU(width, out)
                for (stride, width), out in zip(narrow.items(), outs, strict=True)
            }
        )
        self.classifier = nn.Conv2d(_NARROW, 1, 1)

    def forward(self, features: list[Tensor], size_hw: tuple[int, ...]) -> Tensor:
        """Map aggregated features, finest first, to logits ``(N, 1, *size_hw)``."""
        *finer, y = features
        for stride, sim in self.sims.items():
            y = self.upconvs[stride](sim(y))
            if finer:
                lateral = finer.pop()
                y = lateral + resize(y, lateral.shape[-2:])
        if "1" not in self.sims:
            y = self.upconvs["1"](resize(y, size_hw))
        logits: Tensor = self.classifier(y)
        return logits


class MINet(nn.Module):
    """Encoder, aggregation between levels (AIM), interaction within levels (SIM), decoder."""

    def __init__(self, encoder: _Encoder, *, sim_residual: bool) -> None:
        super().__init__()
        self.multiple = encoder.strides[0]
        self.backbone = timm.create_model(
            encoder.timm_name,
            pretrained=False,
            features_only=True,
            out_indices=(0, 1, 2, 3, 4),
            **encoder.options,
        )
        c0, c1, c2, c3, c4 = encoder.channels
        self.aims = nn.ModuleList(
            [
                Aggregate({"h": c0, "l": c1}, "h", encoder.aggregated),
                Aggregate({"h": c0, "m": c1, "l": c2}, "m", _WIDTH),
                Aggregate({"h": c1, "m": c2, "l": c3}, "m", _WIDTH),
                Aggregate({"h": c2, "m": c3, "l": c4}, "m", _WIDTH),
                Aggregate({"h": c3, "l": c4}, "l", _WIDTH),
            ]
        )
        self.decoder = Decoder(encoder, sim_residual=sim_residual)

    def forward(self, x: Tensor) -> Prediction:
        """Map ``(N, 3, H, W)``, normalised, H and W >= 32, to logits ``(N, 1, H, W)``.

        AIM needs sides that halve exactly between levels, and SIM at least 2 px at the coarsest
        level. The input is therefore padded with zeros, the mean colour, and the logits cropped.
        """
        padded = pad_to(x, self.multiple, least=2 * self.multiple)
        logits = self.decoder(self.aggregate(self.backbone(padded)), padded.shape[-2:])
        return Prediction(logits[..., : x.shape[-2], : x.shape[-1]])

    def aggregate(self, features: list[Tensor]) -> list[Tensor]:
        """Map the backbone's features, finest first, to five of 64 channels (VGG's finest: 32)."""
        f0, f1, f2, f3, f4 = features
        inputs = [
            {"h": f0, "l": f1},
            {"h": f0, "m": f1, "l": f2},
            {"h": f1, "m": f2, "l": f3},
            {"h": f2, "m": f3, "l": f4},
            {"h": f3, "l": f4},
        ]
        return [aim(levels) for aim, levels in zip(self.aims, inputs, strict=True)]


def build(*, backbone: str = "resnet50", sim_residual: bool = True) -> MINet:
    """Return the network with fresh weights.

    Args:
        backbone: ``"resnet50"`` or ``"vgg16"`` (with batch norm).
        sim_residual: See :class:`sodcli.models.minet.SelfInteract`.

    Raises:
        ValueError: If there is no backbone of that name.
    """
    if backbone not in _ENCODERS:
        raise ValueError(f"no backbone named {backbone!r}; known: {', '.join(_ENCODERS)}")
    return MINet(_ENCODERS[backbone], sim_residual=sim_residual)
