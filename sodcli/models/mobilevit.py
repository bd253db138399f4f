"""MobileViTv2 block with separable self-attention (arXiv 2206.02680), as SDNet-A uses it."""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models.resample import round_up

_DEPTH: Final = 2


class SeparableAttention(nn.Module):
    """Self-attention linear in the number of patches: one query score weighs all keys."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.qkv_proj = nn.Conv2d(width, 1 + 2 * width, 1)
        self.out_proj = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, d, P, N)`` (P places in a patch, N patches) to the same shape."""
        query, key, value = self.qkv_proj(x).split([1, self.width, self.width], dim=1)
        context = (key * query.softmax(-1)).sum(-1, keepdim=True)
        out: Tensor = self.out_proj(F.relu(value) * context)
        return out


class TransformerLayer(nn.Module):
    """Attention and one SiLU layer, each after a group norm and around a skip."""

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
    """Project, attend over patches, project back; no skip around the whole.

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
        """Map ``(B, C, H, W)`` to ``(B, C, H', W')``: sides go up to multiples of the patch."""
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
