"""RCRNet: salient objects in pictures and, with its recurrent module, in clips of a film.

Paper: ICCV 2019, arXiv 1908.04051.
"""

from collections.abc import Sequence
from typing import Final, Self

import torch
from timm.models.resnet import Bottleneck
from torch import Tensor, nn

from sodcli.models._base import Prediction
from sodcli.models.aspp import ASPP
from sodcli.models.convnorm import ConvNorm
from sodcli.models.recurrent import NonLocalRecurrent
from sodcli.models.resample import resize
from sodcli.models.resnet import CHANNELS, DilatedResNet

_CONTEXT: Final = 256
_REFINED: Final = 128
_SKIP: Final = 96
_DILATIONS: Final = {16: (6, 12, 18), 8: (12, 24, 36)}
_BIAS: Final = 0.001  # of fresh norms and convolutions, as published


class _Reduce(Bottleneck):
    expansion = 2


class Refine(nn.Module):
    """Merge a feature of the backbone, made narrow, into what comes from above."""

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

    def __init__(self) -> None:
        super().__init__()
        above = (_CONTEXT, _REFINED, _REFINED)
        self.refinements = nn.ModuleList(
            Refine(*channels) for channels in zip(CHANNELS[2::-1], above, strict=True)
        )
        self.conv1 = ConvNorm(_REFINED, 2 * _REFINED, 3, relu=True)
        self.conv2 = nn.Conv2d(2 * _REFINED, 1, 1)

    def forward(self, features: Sequence[Tensor], y: Tensor, size_hw: tuple[int, ...]) -> Tensor:
        """Map the features at /4, /8, /16 and their context to logits ``(N, 1, *size_hw)``."""
        for refine, feature in zip(self.refinements, reversed(features), strict=True):
            y = refine(feature, y)
        logits: Tensor = self.conv2(self.conv1(resize(y, size_hw)))
        return logits


class FrameNet(nn.Module):
    """What sees a single frame: backbone, context, decoder.

    Args:
        channels_in: Of the input.
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
        """Return the features at /4, /8 and /16 and the context, ``(N, 256, H/16, W/16)``."""
        *features, top = self.resnet(x)
        return [*features, self.aspp(top)]


class RCRNet(nn.Module):
    """The image model; its batch norms never learn statistics, only scale and shift.

    Args:
        channels_in: Of the input.
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
        """Set the mode of all but the batch norms, which stay as they are in use."""
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
        """Return what is needed of each of ``(N, 3, H, W)`` frames."""
        features: list[Tensor] = self.backbone(x)
        return features

    def decode(
        self,
        features: list[Tensor],
        frames: int,
        size_hw: tuple[int, ...],
        newest: int | None = None,
    ) -> Tensor:
        """Return the logits, ``(N, T, 1, H, W)``, of ``(N * T, ...)`` features.

        With ``newest``, those of so many frames at the end of each clip. Frames are decoded one by
        one: at the input's size they need the most memory.
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
        recurrent: The model for clips, instead of the one for pictures.
        output_stride: Of the backbone: 16, or 8 as the paper's finer variant.
    """
    return FilmRCRNet(output_stride) if recurrent else RCRNet(output_stride=output_stride)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and module.bias is not None:
        nn.init.constant_(module.bias, _BIAS)
