"""STDNet and STDNet-A: salient object detection in film clips, with about a million parameters.

Paper: arXiv 2507.01182 (TPAMI 2025). The backbones are those of SDNet and SDNet-A; the decoder
processes each stage in space and, with spatio-temporal difference convolutions, in time.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models._base import Prediction
from sodcli.models.diffnet import CHANNELS, DiffNet, SpatialAttention, zero_bias
from sodcli.models.pdc import Norm, PixelDifferenceConv
from sodcli.models.resample import resize

_WIDTH: Final = 24
_OPERATORS: Final = ("cv", "cd", "ad")
_DILATIONS: Final = (3, 5)
_REACH: Final = 2  # frames before and after that GlobalTemporal depends on


class Project(nn.Module):
    """1x1 convolution, batch norm and, by default, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, *, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H, W)``."""
        y: Tensor = self.norm(self.conv(x))
        return F.relu(y) if self.relu else y


class GlobalSpatial(nn.Module):
    """CDCM for films: reduce the channels, then add two dilated convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = zero_bias(nn.Conv2d(2 * _WIDTH, _WIDTH, 1))
        self.conv_dils = nn.ModuleList(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=rate, dilation=rate, bias=False)
            for rate in _DILATIONS
        )
        self.norm = nn.BatchNorm2d(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 48, H, W)`` to ``(N, 24, H, W)``."""
        z = self.conv1(x)
        near, far = (branch(z) for branch in self.conv_dils)
        return F.relu(self.norm(z + near + far))


class GlobalTemporal(nn.Module):
    """STDM: difference convolutions over (time, width), then over (time, height)."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.tdc1, self.tdc2 = (_stdc(2 * _WIDTH, norm) for _ in range(2))
        self.project2 = Project(2 * _WIDTH, _WIDTH)

    def forward(self, x: Tensor, frames: int, newest: int) -> Tensor:
        """Map ``(N * T, 48, H, W)`` to ``(N * newest, 24, H, W)``, the last frames of each clip.

        ``frames`` is T. Each of the two convolutions uses one frame before and one after.
        """
        x = _split(x, frames)
        rows = x.permute(0, 3, 2, 1, 4).flatten(0, 1)  # every row of pixels is a (T, W) picture
        rows = _last(rows + F.relu(self.tdc1(rows)), newest + 1, axis=2)
        x = _split(rows, x.shape[3]).permute(0, 3, 2, 1, 4)
        columns = x.permute(0, 4, 2, 1, 3).flatten(0, 1)  # every column is a (T, H) picture
        columns = _last(columns + F.relu(self.tdc2(columns)), newest, axis=2)
        x = _split(columns, x.shape[4]).permute(0, 3, 2, 4, 1)
        y: Tensor = self.project2(x.flatten(0, 1))
        return y


class Decoder(nn.Module):
    """Process stages in space and time, merging from the coarsest to the finest."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        outs = (_WIDTH, _WIDTH, _WIDTH, 2 * _WIDTH)
        self.project1 = nn.ModuleList(
            Project(channels, out) for channels, out in zip(CHANNELS, outs, strict=True)
        )
        self.global_spatial = nn.ModuleList(GlobalSpatial() for _ in CHANNELS)
        self.global_temporal = nn.ModuleList(GlobalTemporal(norm) for _ in CHANNELS)
        self.project2 = nn.ModuleList(Project(2 * _WIDTH, _WIDTH, relu=False) for _ in CHANNELS)
        self.attention = nn.ModuleList(SpatialAttention(_WIDTH) for _ in CHANNELS)
        self.project_final = zero_bias(nn.Conv2d(_WIDTH, 1, 1))

    def project(self, features: list[Tensor]) -> list[Tensor]:
        """Reduce the four stages of N frames to 24, 24, 24 and 48 channels, frame by frame."""
        return [project(x) for project, x in zip(self.project1, features, strict=True)]

    def forward(self, features: list[Tensor], frames: int, newest: int) -> Tensor:
        """Map the output of :meth:`project` for ``N * T`` frames to logits at half size.

        Returns the last ``newest`` of the T ``frames`` only: ``(N * newest, 1, H / 2, W / 2)``. The
        output of a stage for one frame depends on two more frames on each side, so coarser stages
        process more frames. Frames that the result does not depend on are skipped.
        """
        merged: Tensor | None = None
        for stage in reversed(range(len(features))):
            wanted = min(frames, newest + _REACH * stage)
            seen = min(frames, wanted + _REACH)
            x = _last(_split(features[stage], frames), seen, axis=1).flatten(0, 1)
            if merged is not None:
                x = torch.cat([x, resize(merged, x.shape[-2:])], dim=1)
            now = _last(_split(x, seen), wanted, axis=1).flatten(0, 1)
            space = self.global_spatial[stage](now)
            time = self.global_temporal[stage](x, seen, wanted)
            merged = self.attention[stage](self.project2[stage](torch.cat([space, time], dim=1)))
        y: Tensor = self.project_final(merged)
        return y


class STDNet(nn.Module):
    """Backbone per frame, decoder per clip; no side outputs."""

    def __init__(self, backbone: str, norm: Norm) -> None:
        super().__init__()
        self.backbone = DiffNet(backbone, norm)
        self.decoder = Decoder(norm)

    def forward(self, x: Tensor) -> Prediction:
        """Map ``(N, T, 3, H, W)``, normalised, sides >= 16, to logits ``(N, T, 1, H, W)``."""
        frames = x.shape[1]
        return Prediction(self.decode(self.features(x.flatten(0, 1)), frames, x.shape[-2:]))

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the per-frame features for :meth:`decode`; frames are independent of each other.

        Args:
            x: ``(N, 3, H, W)``, normalised, sides >= 16.

        Returns:
            Four tensors ``(N, C, h, w)`` at 1/2, 1/4, 1/8 and 1/16 of the input.
        """
        return self.decoder.project(self.backbone(x))

    def decode(
        self,
        features: list[Tensor],
        frames: int,
        size_hw: tuple[int, ...],
        newest: int | None = None,
    ) -> Tensor:
        """Return the logits of clips from the :meth:`features` of their frames.

        Args:
            features: Four tensors ``(N * T, C, h, w)``, the frames of a clip in sequence.
            frames: T, at least 1. The first and last frame are replicated beyond the clip, so a
                clip of one frame gives the same logits as a clip without motion.
            size_hw: Height and width of the logits: those of the input.
            newest: Return only the last ``newest`` frames: the same values for less work.

        Returns:
            ``(N, T, 1, H, W)``, or ``(N, newest, 1, H, W)``.
        """
        wanted = frames if newest is None else min(newest, frames)
        return _split(resize(self.decoder(features, frames, wanted), size_hw), wanted)


def build(*, backbone: str = "sdnet", norm: Norm = "operator") -> STDNet:
    """Return the network in its training form, with fresh weights.

    Args:
        backbone: ``"sdnet"``, or ``"sdnet-a"`` with MobileViT blocks.
        norm: Batch norm inside the difference convolutions of blocks and clips:
            see :class:`sodcli.models.pdc.PixelDifferenceConv`. All other norms are always present.
    """
    return STDNet(backbone, norm)


def _stdc(channels: int, norm: Norm) -> PixelDifferenceConv:
    return PixelDifferenceConv(
        (channels, channels), _OPERATORS, norm=norm, norm_in=False, over_time=True
    )


def _last(x: Tensor, count: int, axis: int) -> Tensor:
    """Return the last ``count`` (or all, if there are fewer) along ``axis``."""
    return x.narrow(axis, max(0, x.shape[axis] - count), min(count, x.shape[axis]))


def _split(x: Tensor, inner: int) -> Tensor:
    """Split the first axis into two, the second of length ``inner``."""
    return x.reshape(-1, inner, *x.shape[1:])
