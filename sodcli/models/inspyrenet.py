"""InSPyReNet: saliency maps as image pyramids, for pictures of high resolution.

Paper: ACCV 2022, arXiv 2209.09475.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from sodcli.models._base import Prediction
from sodcli.models.inspyrenet_decoder import WIDTH, Context, ContextAttention, Decoder
from sodcli.models.pyramid import blend, reconstruct
from sodcli.models.resample import resize, round_to

_MULTIPLE: Final = 8  # the coarsest map is an eighth of the picture
_RES2NET_CHANNELS: Final = (64, 256, 512, 1024, 2048)
# The strides stay 1, 2, 2, 2; the last stage uses a multi-grid of 1, 2, 4.
_RES2NET_DILATIONS: Final = {"layer3": (2,) * 6, "layer4": (4, 8, 16)}


class Pyramid(NamedTuple):
    """All levels, coarsest first.

    Attributes:
        saliency: Logits d3, d2, d1, d0 at /8, /4, /2 and /1, ``(N, 1, h, w)``.
        laplacian: p2, p1, p0 at /4, /2 and /1.
    """

    saliency: tuple[Tensor, Tensor, Tensor, Tensor]
    laplacian: tuple[Tensor, Tensor, Tensor]


class InSPyReNet(nn.Module):
    """Backbone, one context module per feature, the coarsest map, one Laplacian per finer level.

    Args:
        backbone: Maps a picture to five features, at /4, /4, /8, /16 and /32.
        channels: Channels of those features.
        base_hw: The size the network was trained at; see :class:`ContextAttention`.
    """

    def __init__(
        self, backbone: nn.Module, channels: Sequence[int], base_hw: tuple[int, int]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.contexts = nn.ModuleList(Context(width) for width in channels)
        self.decoder = Decoder()
        stages = [(base_hw[0] >> stage, base_hw[1] >> stage) for stage in range(3)]
        self.attentions = nn.ModuleList(
            [
                ContextAttention(WIDTH, stages[0], edges=True),
                ContextAttention(2 * WIDTH, stages[1], edges=True),
                ContextAttention(2 * WIDTH, stages[2], edges=False),
            ]
        )

    def forward(self, x: Tensor) -> Prediction:
        """Map ``(N, 3, H, W)``, normalised, H and W >= 32, to logits ``(N, 1, H, W)``.

        In training, ``aux`` holds the other levels: ``"saliency"`` d3, d2, d1 and ``"laplacian"``
        p2, p1, p0. If a side is not a multiple of 8, the input is resized to the nearest multiple
        and the logits are resized back.
        """
        saliency, laplacian = self.pyramid(_fitted(x))
        logits = resize(saliency[-1], x.shape[-2:])
        if not self.training:
            return Prediction(logits)
        return Prediction(logits, {"saliency": saliency[:-1], "laplacian": laplacian})

    def blended(self, x: Tensor, x_lr: Tensor) -> Tensor:
        """Blend the pyramids of a picture at full size and at base size (section 3.3).

        Args:
            x: The picture at full size, ``(N, 3, H, W)``, normalised.
            x_lr: The same picture at base size.

        Returns:
            Logits ``(N, 1, H, W)``.
        """
        coarse = self(x_lr).logits
        saliency, laplacian = self.pyramid(_fitted(x))
        blended = blend(resize(coarse, saliency[0].shape[-2:]), laplacian)
        return resize(blended, x.shape[-2:])

    def pyramid(self, x: Tensor) -> Pyramid:
        """Return all levels for ``(N, 3, H, W)``, H and W multiples of 8.

        Coarser maps are detached, so that the loss of a level does not reach them.
        """
        height, width = x.shape[-2:]
        half, full = (height // 2, width // 2), (height, width)
        x1, x2, x3, x4, x5 = (
            context(feature)
            for context, feature in zip(self.contexts, self.backbone(x), strict=True)
        )
        finest, finer, coarse = self.attentions
        f3, d3 = self.decoder(x3, x4, x5)

        f2, p2 = coarse(torch.cat([x2, resize(f3, x2.shape[-2:])], dim=1), d3.detach())
        d2 = reconstruct(d3.detach(), p2)

        joined = torch.cat([resize(x1, half), resize(f2, half)], dim=1)
        f1, p1 = finer(joined, d2.detach(), p2.detach())
        d1 = reconstruct(d2.detach(), p1)

        _, p0 = finest(resize(f1, full), d1.detach(), p1.detach(), last=True)
        d0 = reconstruct(d1.detach(), p0)
        return Pyramid((d3, d2, d1, d0), (p2, p1, p0))


class Res2Net(nn.Module):
    """Res2Net-50 v1b 26w x 4s with the dilations of InSPyReNet (arXiv 1904.01169).

    Five features: the stem after its pooling, then each of the four stages.
    """

    def __init__(self) -> None:
        super().__init__()
        import timm  # slow to import, and Swin does not need it

        net: Any = timm.create_model("res2net50d", pretrained=False, num_classes=0)
        self.conv1, self.bn1, self.act1, self.maxpool = net.conv1, net.bn1, net.act1, net.maxpool
        self.layer1, self.layer2 = net.layer1, net.layer2
        self.layer3, self.layer4 = net.layer3, net.layer4
        for name, dilations in _RES2NET_DILATIONS.items():
            _dilate(getattr(net, name), dilations)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(N, 3, H, W)`` to maps at /4, /4, /8, /16 and /32."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        features = [x]
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features


def build(*, backbone: str = "swinb", base_hw: Sequence[int] = (384, 384)) -> InSPyReNet:
    """Return the network with fresh weights.

    Args:
        backbone: ``"swinb"`` or ``"res2net50"``.
        base_hw: Height and width in pixels that the network is (or was) trained at.

    Raises:
        ValueError: If there is no backbone of that name.
    """
    if backbone not in _BACKBONES:
        raise ValueError(f"no backbone named {backbone!r}; known: {', '.join(_BACKBONES)}")
    height, width = base_hw
    return InSPyReNet(*_BACKBONES[backbone](), (height, width))


def _swin() -> tuple[nn.Module, Sequence[int]]:
    from sodcli.models.swin import CHANNELS, Swin

    return Swin(), CHANNELS


def _res2net() -> tuple[nn.Module, Sequence[int]]:
    return Res2Net(), _RES2NET_CHANNELS


_BACKBONES: Final[dict[str, Callable[[], tuple[nn.Module, Sequence[int]]]]] = {
    "swinb": _swin,
    "res2net50": _res2net,
}


def _fitted(x: Tensor) -> Tensor:
    height, width = (round_to(side, _MULTIPLE) for side in x.shape[-2:])
    return resize(x, (height, width))


def _dilate(blocks: Iterable[Any], dilations: tuple[int, ...]) -> None:
    for block, dilation in zip(blocks, dilations, strict=True):
        for conv in block.convs:
            conv.dilation = conv.padding = (dilation, dilation)
