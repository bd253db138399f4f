"""Swin transformer, base size, in the form that dense prediction uses (arXiv 2103.14030).

timm's implementation has the same weights, but rolls a map before padding it to whole windows; the
published one pads first. The outputs differ if a side is not a multiple of 12 tokens.
"""

from itertools import islice
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models._base import exporting
from sodcli.models.resample import round_up

_PATCH: Final = 4
_WINDOW: Final = 12
_SHIFT: Final = _WINDOW // 2
_APART: Final = -100.0  # mask value for tokens that are adjacent only because of the roll
_DEPTHS: Final = (2, 2, 18, 2)
_HEADS: Final = (4, 8, 16, 32)
_DROP: Final = 0.2
_STD: Final = 0.02  # of initial weights; the published truncation at 2 is 100 sigma
CHANNELS: Final = (128, 128, 256, 512, 1024)


class WindowAttention(nn.Module):
    """Multi-head attention inside each window, with a bias by relative position."""

    index: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        table = torch.empty((2 * _WINDOW - 1) ** 2, heads)
        self.relative_position_bias_table = nn.Parameter(nn.init.normal_(table, std=_STD))
        self.qkv = _linear(width, 3 * width)
        self.proj = _linear(width, width)
        self.register_buffer("index", _relative_index(), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map windows ``(N, windows, tokens, C)`` to the same shape.

        ``mask``, ``(windows, 1, tokens, tokens)``, is added to the attention logits.
        """
        bias = self.relative_position_bias_table[self.index].permute(2, 0, 1)[None]
        bias = bias if mask is None else bias + mask
        mixed = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        if exporting():  # a graph with a dynamic batch size cannot loop over the batch
            return self._together(mixed, bias)
        # One item at a time: PyTorch's fused attention takes 4-D tensors, and all items share
        # one bias.
        items = []
        for item in mixed:
            query, key, value = item.permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
            items.append(attended.transpose(1, 2).flatten(2))
        out: Tensor = self.proj(items[0][None] if len(items) == 1 else torch.stack(items))
        return out

    def _together(self, mixed: Tensor, bias: Tensor) -> Tensor:
        query, key, value = mixed.permute(3, 0, 1, 4, 2, 5)
        likeness = query.shape[-1] ** -0.5 * query @ key.mT + bias
        out: Tensor = self.proj((likeness.softmax(-1) @ value).transpose(2, 3).flatten(3))
        return out


class Mlp(nn.Module):
    """Two layers with an exact GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = _linear(width, 4 * width)
        self.fc2 = _linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., C)`` to the same shape."""
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class Block(nn.Module):
    """Window attention and an MLP, each with pre-norm (layer norm) and a residual connection.

    Args:
        width: Channels.
        heads: Attention heads.
        shift: Shift of the windows, down and right, in tokens.
        drop: Probability that a batch item skips a branch in training (stochastic depth).
    """

    def __init__(self, width: int, heads: int, *, shift: int, drop: float) -> None:
        super().__init__()
        self.shift, self.drop = shift, drop
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to the same shape; ``mask`` as in :func:`window_mask`."""
        x = x + self._kept(self._attend(self.norm1(x), mask))
        return x + self._kept(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """Apply window attention; padding tokens are not masked, as published."""
        height, width = x.shape[1:3]
        down, right = whole(height), whole(width)
        if (down, right) != (height, width):
            x = F.pad(x, (0, 0, 0, right - width, 0, down - height))
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        windows = self.attn(split_windows(x), mask if self.shift else None)
        x = join_windows(windows, (down, right))
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x[:, :height, :width]

    def _kept(self, branch: Tensor) -> Tensor:
        if not self.training or not self.drop:
            return branch
        kept = torch.rand(len(branch), 1, 1, 1, device=branch.device) >= self.drop
        return branch * kept / (1 - self.drop)


class Merge(nn.Module):
    """Merge 2x2 tokens into one of twice the width; odd sides are padded with zeros."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        nn.init.normal_(self.reduction.weight, std=_STD)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to ``(N, ceil(H / 2), ceil(W / 2), 2C)``."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        y: Tensor = self.reduction(self.norm(torch.cat(parts, dim=-1)))
        return y


class Stage(nn.Module):
    """Blocks at one resolution, every second one with shifted windows."""

    def __init__(self, width: int, heads: int, drops: list[float], *, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(width, heads, shift=place % 2 * _SHIFT, drop=drop)
            for place, drop in enumerate(drops)
        )
        self.downsample = nn.Identity() if last else Merge(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(N, H, W, C)`` to the stage's output, same shape, and the next stage's input."""
        mask = window_mask(x.shape[1:3]).to(x)
        for block in self.blocks:
            x = block(x, mask)
        return x, self.downsample(x)


class PatchEmbed(nn.Module):
    """Embed each 4x4 patch of pixels as one token."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, CHANNELS[0], _PATCH, stride=_PATCH)
        self.norm = nn.LayerNorm(CHANNELS[0])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, H / 4, W / 4, 128)``."""
        y: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return y


class Swin(nn.Module):
    """Five features: the patch embedding, then each of the four stages after its own norm."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed()
        drops = iter(torch.linspace(0, _DROP, sum(_DEPTHS), device="cpu").tolist())
        self.layers = nn.ModuleList(
            Stage(width, heads, list(islice(drops, depth)), last=width == CHANNELS[-1])
            for width, heads, depth in zip(CHANNELS[1:], _HEADS, _DEPTHS, strict=True)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in CHANNELS[1:])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(N, 3, H, W)``, sides multiples of 4, to maps at /4, /4, /8, /16 and /32."""
        x = self.patch_embed(x)
        features = [x]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            stage, x = layer(x)
            features.append(norm(stage))
        return [feature.permute(0, 3, 1, 2).contiguous() for feature in features]


def whole(side: int) -> int:
    """Return ``side`` rounded up to whole windows."""
    return round_up(side, _WINDOW)


def split_windows(x: Tensor) -> Tensor:
    """Cut ``(N, H, W, C)``, whole windows, into ``(N, windows, tokens, C)``, row by row."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // _WINDOW, _WINDOW, width // _WINDOW, _WINDOW, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(batch, -1, _WINDOW**2, channels)


def join_windows(windows: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Undo :func:`split_windows`; ``size_hw`` in tokens."""
    channels = windows.shape[-1]
    rows, columns = (side // _WINDOW for side in size_hw)
    x = windows.reshape(-1, rows, columns, _WINDOW, _WINDOW, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, *size_hw, channels)


def window_mask(size_hw: torch.Size) -> Tensor:
    """Return the mask for shifted windows, ``(windows, 1, tokens, tokens)``.

    After the roll the last window of a row or column holds tokens from both ends of the map; the
    mask blocks attention between them. The published network does so even if the map is a single
    window.
    """
    rows, columns = (_ends(whole(side)) for side in size_hw)
    region = split_windows((3 * rows[:, None] + columns)[None, ..., None])[0]
    return ((region != region.mT) * _APART).unsqueeze(1)


def _ends(side: int) -> Tensor:
    """Return 0 before the last window, then 1, and 2 for positions that the roll moved there."""
    place = torch.arange(side)
    return (place >= side - _WINDOW).int() + (place >= side - _SHIFT).int()


def _relative_index() -> Tensor:
    """Return the row of the bias table for each pair of tokens of a window, ``(144, 144)``."""
    place = torch.cartesian_prod(torch.arange(_WINDOW), torch.arange(_WINDOW))
    offset = place[:, None] - place[None] + _WINDOW - 1
    return offset[..., 0] * (2 * _WINDOW - 1) + offset[..., 1]


def _linear(width_in: int, width_out: int) -> nn.Linear:
    layer = nn.Linear(width_in, width_out)
    nn.init.normal_(layer.weight, std=_STD)
    nn.init.zeros_(layer.bias)
    return layer
