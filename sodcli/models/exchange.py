"""Exchange between neighbouring resolutions: AIM and SIM of MINet (CVPR 2020, arXiv 2007.09062).

Levels are called ``h``, ``m`` and ``l``: high, middle and low resolution, each half of the next.
"""

from collections.abc import Mapping
from typing import Final, Literal

from torch import Tensor, nn
from torch.nn import functional as F

Levels = Mapping[str, Tensor]
Upsampling = Literal["nearest", "bilinear"]
_ORDER: Final = "hml"


class Node(nn.Module):
    """Batch norm of the sum of one convolution for each source, at the resolution of one level.

    Args:
        level: The level it stands at; finer sources are halved by averaging, coarser ones enlarged.
        channels_in: Channels of each source.
        channels_out: Channels it gives.
        up: How coarser sources are enlarged.
    """

    def __init__(
        self, level: str, channels_in: Mapping[str, int], channels_out: int, up: Upsampling
    ) -> None:
        super().__init__()
        self.level, self.up = level, up
        self.convs = nn.ModuleDict(
            {
                name: nn.Conv2d(width, channels_out, 3, padding=1)
                for name, width in channels_in.items()
            }
        )
        self.bn = nn.BatchNorm2d(channels_out)

    def forward(self, levels: Levels) -> Tensor:
        """Map the sources among ``levels``, ``(N, C, H, W)`` each, to ``(N, C', h, w)``."""
        parts = [conv(self._fitted(levels, name)) for name, conv in self.convs.items()]
        y: Tensor = self.bn(sum(parts[1:], start=parts[0]))
        return y

    def _fitted(self, levels: Levels, name: str) -> Tensor:
        x, distance = levels[name], _ORDER.index(name) - _ORDER.index(self.level)
        if distance == 0:
            return x
        if distance < 0:
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, levels[self.level].shape[-2:], mode=self.up)


class Stage(nn.ModuleDict):
    """Nodes that work side by side, by their levels."""

    def forward(self, levels: Levels) -> Levels:
        """Map levels to the levels that there are nodes for, after ReLU."""
        return {name: F.relu(node(levels)) for name, node in self.items()}


class Aggregate(nn.Module):
    """AIM: refine one level of the backbone with its neighbours, around a skip.

    Args:
        channels: Channels of each level it is given, ``h`` first.
        main: The level it refines.
        channels_out: Channels it gives.
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
    """SIM: exchange between a feature and its own half-size, narrower self.

    Args:
        channels: Channels of the feature and of its narrower self.
        residual: Add the input to the output. The published code does since 2021; weights of 2020
            were trained without.
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
    """Return for each level itself and the levels next to it."""
    return {b: names[max(i - 1, 0) : i + 2] for i, b in enumerate(names)}


def _node(level: str, sources: list[str] | str, width: int, out: int | None = None) -> Node:
    return Node(level, dict.fromkeys(sources, width), out or width, "nearest")
