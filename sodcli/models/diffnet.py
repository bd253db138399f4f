"""The parts that SDNet and STDNet share: backbones of pixel difference convolutions, and CDCM/CSAM.

Paper: arXiv 2507.01182. The backbone ``sdnet`` has 16 difference layers; ``sdnet-a`` has 10 and
ends its stages 2 to 4 with a MobileViTv2 block. CDCM is the compact dilation convolution module,
CSAM the compact spatial attention module of the decoders.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models.pdc import Norm, PixelDifferenceConv
from sodcli.models.resample import round_up

_DEPTH: Final = 2


class SeparableAttention(nn.Module):
    """Self-attention linear in the number of patches: one score for each patch weighs its key."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.qkv_proj = nn.Conv2d(width, 1 + 2 * width, 1)
        self.out_proj = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, d, P, N)`` (P pixels per patch, N patches) to the same shape."""
        query, key, value = self.qkv_proj(x).split([1, self.width, self.width], dim=1)
        context = (key * query.softmax(-1)).sum(-1, keepdim=True)
        out: Tensor = self.out_proj(F.relu(value) * context)
        return out


class TransformerLayer(nn.Module):
    """Attention and a 1x1 convolution with SiLU, each with pre-norm and a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(1, width)
        self.attn = SeparableAttention(width)
        self.norm2 = nn.GroupNorm(1, width)
        self.mlp = nn.Sequential(nn.Conv2d(width, width, 1), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, d, P, N)`` to the same shape."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class MobileViTBlock(nn.Module):
    """Projection, transformer over patches, projection; no residual around the block.

    Args:
        channels: Channels in and out; the transformer works on half of them.
        patch: Side of a patch in pixels.
    """

    def __init__(self, channels: int, *, patch: int) -> None:
        super().__init__()
        width = channels // 2
        self.patch = patch
        self.conv_pre = nn.Conv2d(channels, width, 1, bias=False)
        self.transformer = nn.Sequential(*(TransformerLayer(width) for _ in range(_DEPTH)))
        self.norm = nn.GroupNorm(1, width)
        self.conv_proj = nn.Conv2d(width, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, H', W')``, rounded up to multiples of ``patch``."""
        height, width = (round_up(side, self.patch) for side in x.shape[-2:])
        if (height, width) != tuple(x.shape[-2:]):
            x = F.interpolate(x, (height, width), mode="bilinear", align_corners=True)
        patches = self.norm(self.transformer(self._unfold(self.conv_pre(x))))
        out: Tensor = self.conv_proj(self._fold(patches, height, width))
        return out

    def _unfold(self, x: Tensor) -> Tensor:
        batch, depth, height, width = x.shape
        rows, columns = height // self.patch, width // self.patch
        x = x.reshape(batch, depth, rows, self.patch, columns, self.patch)
        return x.permute(0, 1, 3, 5, 2, 4).reshape(batch, depth, self.patch**2, rows * columns)

    def _fold(self, x: Tensor, height: int, width: int) -> Tensor:
        batch, depth = x.shape[:2]
        rows, columns = height // self.patch, width // self.patch
        x = x.reshape(batch, depth, self.patch, self.patch, rows, columns)
        return x.permute(0, 1, 4, 2, 5, 3).reshape(batch, depth, height, width)


_THREE: Final = ("cv", "cd", "ad")
_FOUR: Final = ("cv", "cd", "ad", "rd")
CHANNELS: Final = (60, 120, 240, 240)
# Blocks of each stage: operators of a difference block, or the patch size of a MobileViT block.
_STAGES: Final[dict[str, tuple[tuple[tuple[str, ...] | int, ...], ...]]] = {
    "sdnet": ((_THREE, _THREE, _FOUR), *[(_THREE, _THREE, _THREE, _FOUR)] * 3),
    "sdnet-a": (
        (_THREE, _THREE, _FOUR),
        (_THREE, _THREE, 2),
        (_THREE, _THREE, 2),
        (_THREE, _THREE, 1),
    ),
}


class DiffBlock(nn.Module):
    """Depthwise difference convolution, ReLU and 1x1 convolution with a residual connection.

    Args:
        channels: Input and output channels.
        operators: Difference operators of the depthwise convolution.
        down: Halve height and width (floor) by max pooling first; the skip is then a 1x1
            convolution.
        norm: See :class:`sodcli.models.pdc.PixelDifferenceConv`.
    """

    def __init__(
        self, channels: tuple[int, int], operators: tuple[str, ...], *, down: bool, norm: Norm
    ) -> None:
        super().__init__()
        wide, out = channels
        self.pool = nn.MaxPool2d(2) if down else nn.Identity()
        self.shortcut = nn.Conv2d(wide, out, 1) if down else nn.Identity()
        self.pdc = PixelDifferenceConv((wide, wide), operators, groups=wide, norm=norm)
        self.conv2 = nn.Conv2d(wide, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H, W)``; half the height and width if ``down``."""
        x = self.pool(x)
        y: Tensor = self.conv2(F.relu(self.pdc(x))) + self.shortcut(x)
        return y


class DiffNet(nn.Module):
    """Four stages at 1/2, 1/4, 1/8 and 1/16 of the input, 60, 120, 240 and 240 channels.

    Args:
        name: ``"sdnet"`` or ``"sdnet-a"``.
        norm: See :class:`sodcli.models.pdc.PixelDifferenceConv`.

    Raises:
        ValueError: If there is no backbone of that name.
    """

    def __init__(self, name: str, norm: Norm) -> None:
        super().__init__()
        if name not in _STAGES:
            raise ValueError(f"no difference backbone named {name!r}; known: {', '.join(_STAGES)}")
        # No activation follows the first difference convolution, so it is never normalised.
        self.init_block = PixelDifferenceConv((3, CHANNELS[0]), _THREE, bias=False)
        self.stages: list[list[str]] = []
        wide = CHANNELS[0]
        for stage, (blocks, out) in enumerate(zip(_STAGES[name], CHANNELS, strict=True), start=1):
            names = [f"block{stage}_{place}" for place in range(1, len(blocks) + 1)]
            for place, (key, kind) in enumerate(zip(names, blocks, strict=True)):
                self.add_module(key, _block(kind, (wide, out), down=place == 0, norm=norm))
                wide = out
            self.stages.append(names)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(N, 3, H, W)`` to the outputs of the four stages, finest first."""
        x = self.init_block(x)
        features = []
        for names in self.stages:
            for name in names:
                x = self.get_submodule(name)(x)
            features.append(x)
        return features


class DilationModule(nn.Module):
    """CDCM: reduce the channels, then sum branches of several dilations.

    Args:
        channels: Input and output channels.
        dilations: Dilation of each 3x3 branch; for 1 the branch is the identity.
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


def absorb_shifts(module: nn.Module) -> None:
    """Move the shifts of the blocks of a folded network into biases, in place.

    :attr:`.FoldedConv.shift` is added to the bias of the layer before the block. The bias of the
    block's last convolution is reduced by it, because the skip carries it too. The output is the
    same, and each block saves one pass over memory. Blocks after a pooling or an output to the
    decoder keep their shift.
    """
    for net in module.modules():
        if isinstance(net, DiffNet):
            for names in net.stages:
                blocks = [net.get_submodule(name) for name in names]
                for before, block in pairwise(blocks):
                    if isinstance(before, DiffBlock) and isinstance(block, DiffBlock):
                        _absorb(before.conv2, block)


def _absorb(before: nn.Conv2d, block: DiffBlock) -> None:
    """Move the shift of ``block`` into the bias of ``before``, whose output is the block's skip."""
    shift = getattr(block.pdc, "shift", None)
    if shift is None or before.bias is None or block.conv2.bias is None:
        return
    with torch.no_grad():
        before.bias += shift.flatten()
        block.conv2.bias -= shift.flatten()
    block.pdc.register_buffer("shift", None)


def _block(
    kind: tuple[str, ...] | int, channels: tuple[int, int], *, down: bool, norm: Norm
) -> nn.Module:
    if isinstance(kind, int):
        return MobileViTBlock(channels[1], patch=kind)
    return DiffBlock(channels, kind, down=down, norm=norm)


def zero_bias(conv: nn.Conv2d) -> nn.Conv2d:
    """Return ``conv`` with its bias set to zero, the paper's initial value."""
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _dilated(channels: int, rate: int) -> nn.Module:
    if rate == 1:
        return nn.Identity()
    return nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate, bias=False)
