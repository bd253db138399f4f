"""Parallel axial attention of InSPyReNet (ACCV 2022, arXiv 2209.09475).

PAA comes from UACANet (arXiv 2107.02368): PAA_e enriches each feature of the backbone, PAA_d merges
the three coarsest and makes the first saliency map.
"""

from collections.abc import Iterator
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models._base import exporting
from sodcli.models.convnorm import ConvNorm, ConvReLU, same_conv
from sodcli.models.resample import resize

WIDTH: Final = 64


class SelfAttention(nn.Module):
    """Self-attention between positions along one axis.

    The features of a position span all channels and the other axis. The published code
    reinterprets the map's memory as rows of ``H`` (or ``W``) values instead of transposing it, so
    along the height the "columns" are runs of ``H`` neighbours in memory. The published weights
    require this.
    """

    def __init__(self, channels: int, axis: Literal["height", "width"]) -> None:
        super().__init__()
        self.axis = -2 if axis == "height" else -1
        self.query_conv = ConvNorm(channels, channels // 8, 1)
        self.key_conv = ConvNorm(channels, channels // 8, 1)
        self.value_conv = ConvNorm(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        runs = (x.shape[0], -1, x.shape[self.axis])
        query = self.query_conv.pointwise(x).reshape(runs)
        key = self.key_conv.pointwise(x).reshape(runs)
        value = self.value_conv.pointwise(x).reshape(runs)
        weights = (query.mT @ key).softmax(-1)
        attended: Tensor = (value @ weights.mT).reshape(x.shape)
        return self.gamma * attended + x


class AxialAttention(nn.Module):
    """The sum of attention along the height and along the width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.height = SelfAttention(channels, "height")
        self.width = SelfAttention(channels, "width")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        x = x.contiguous()  # both reinterpret its memory
        y: Tensor = self.height(x) + self.width(x)
        return y


class Branch(nn.Module):
    """PAA_kernel: a ``reach`` x ``reach`` receptive field, axial attention, a dilated 3x3."""

    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.conv0 = ConvNorm(channels, WIDTH, 1)
        self.conv1 = ConvNorm(WIDTH, WIDTH, (1, reach))
        self.conv2 = ConvNorm(WIDTH, WIDTH, (reach, 1))
        self.conv3 = ConvNorm(WIDTH, WIDTH, 3, dilation=reach)
        self.attention = AxialAttention(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, 64, H, W)``."""
        y: Tensor = self.conv3(self.attention(self.conv2(self.conv1(self.conv0(x)))))
        return y


class Context(nn.Module):
    """PAA_e: one 1x1 and three wide branches, merged, with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch0 = ConvNorm(channels, WIDTH, 1)
        self.branch1 = Branch(channels, 3)
        self.branch2 = Branch(channels, 5)
        self.branch3 = Branch(channels, 7)
        self.conv_cat = ConvNorm(4 * WIDTH, WIDTH, 3)
        self.conv_res = ConvNorm(channels, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, 64, H, W)``."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        merged = self.conv_cat(torch.cat([branch(x) for branch in branches], dim=1))
        return F.relu(merged + self.conv_res(x))


class Decoder(nn.Module):
    """PAA_d: merge the three coarsest contexts and predict the coarsest saliency map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3 * WIDTH, WIDTH, 3)
        self.attention = AxialAttention(WIDTH)
        self.conv2 = ConvNorm(WIDTH, WIDTH, 3)
        self.conv3 = ConvNorm(WIDTH, WIDTH, 3)
        self.conv4 = ConvNorm(WIDTH, WIDTH, 3)
        self.conv5 = ConvReLU(same_conv(WIDTH, 1, 3), relu=False)

    def forward(self, x3: Tensor, x4: Tensor, x5: Tensor) -> tuple[Tensor, Tensor]:
        """Map contexts to features ``(N, 64, H, W)`` and logits ``(N, 1, H, W)`` of x3's size."""
        coarser = [resize(x, x3.shape[-2:], corners=True) for x in (x5, x4)]
        x = self.attention(self.conv1(torch.cat([*coarser, x3], dim=1)))
        features = self.conv4(self.conv3(self.conv2(x)))
        return features, self.conv5(features)


_REACH: Final = 5  # rows above and below that five consecutive 3x3 convolutions depend on
_STRIP_VALUES: Final = 6 * 2**20  # values per strip; the allocator re-uses such blocks


class ContextAttention(nn.Module):
    """SICA: attention to foreground, background and boundary features; predicts a Laplacian.

    Args:
        channels: Input channels.
        stage_hw: Size at which the context features are summed. It is fixed, so that the sums over
            pixels do not depend on the picture's size (scale invariance).
        edges: Whether the Laplacian of the previous level is an input too; its pixels above and
            below a threshold are two more contexts.
    """

    def __init__(self, channels: int, stage_hw: tuple[int, int], *, edges: bool) -> None:
        super().__init__()
        self.stage_hw = stage_hw
        self.threshold = nn.Parameter(torch.full((1,), 0.5))
        if edges:
            self.lthreshold = nn.Parameter(torch.full((1,), 0.5))
        self.conv_query = _twice(channels, 3)
        self.conv_key = _twice(channels, 1)
        self.conv_value = _twice(channels, 1)
        self.conv_out1 = ConvNorm(WIDTH, WIDTH, 3, relu=True)
        self.conv_out2 = ConvNorm(channels + WIDTH, WIDTH, 3, relu=True)
        self.conv_out3 = ConvNorm(WIDTH, WIDTH, 3, relu=True)
        self.conv_out4 = ConvNorm(WIDTH, 1, 1)

    def forward(
        self,
        x: Tensor,
        saliency: Tensor,
        laplacian: Tensor | None = None,
        *,
        last: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Map features and the previous level to finer features and a Laplacian.

        In eval mode large maps are processed in strips of rows. The result is the same, and the
        intermediate tensors stay small.

        Args:
            x: ``(N, C, H, W)``.
            saliency: Logits of the previous level, ``(N, 1, h, w)``, any size.
            laplacian: Laplacian of the previous level, if ``edges``.
            last: Whether to drop the features, because no finer level needs them.

        Returns:
            Features ``(N, 64, H, W)``, with zero channels if ``last``, and the Laplacian
            ``(N, 1, H, W)``.
        """
        context = self.gather(x, self.regions(x, saliency, laplacian))
        key, value = self.conv_key(context).squeeze(-1), self.conv_value(context).squeeze(-1)
        found = [
            (features[:, : 0 if last else None, inside], out[:, :, inside])
            for seen, inside in self._strips(x)
            for features, out in [self._refine(x[:, :, seen], key, value)]
        ]
        features, outs = zip(*found, strict=True)
        return _joined(features), _joined(outs)

    def _strips(self, x: Tensor) -> Iterator[tuple[slice, slice]]:
        """Yield the rows to read and the result rows to keep; one strip in training and export."""
        height, width = x.shape[-2:]
        whole = self.training or exporting()
        rows = height if whole else max(8, _STRIP_VALUES // (len(x) * WIDTH * width))
        for top in range(0, height, rows):
            first = max(0, top - _REACH)
            kept = min(rows, height - top)
            yield slice(first, top + rows + _REACH), slice(top - first, top - first + kept)

    def _refine(self, x: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        shares = self._shares(self.conv_query(x), key)
        attended = self.conv_out1.of_mixture(shares, value)
        x = self.conv_out3(self.conv_out2(torch.cat([x, attended], dim=1)))
        return x, self.conv_out4(x)

    def _shares(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the attention of each pixel to each context, ``(N, K, H, W)``."""
        likeness: Tensor = query.flatten(2).mT @ key
        shares: Tensor = (WIDTH**-0.5 * likeness).softmax(-1).mT
        return shares.reshape(query.shape[0], -1, *query.shape[-2:])

    def regions(self, x: Tensor, saliency: Tensor, laplacian: Tensor | None) -> Tensor:
        """Return the weight of each pixel of ``x`` in each context, ``(N, 3 or 5, H, W)``."""
        excess = resize(saliency, x.shape[-2:]).sigmoid() - self.threshold
        parts = [excess.clamp(0, 1), (-excess).clamp(0, 1), self.threshold - excess.abs()]
        if laplacian is not None:
            edge = resize(laplacian, x.shape[-2:]).sigmoid() - self.lthreshold
            parts += [edge.clamp(0, 1), (-edge).clamp(0, 1)]
        return torch.cat(parts, dim=1)

    def gather(self, x: Tensor, regions: Tensor) -> Tensor:
        """Return the weighted sum of the features in each context, ``(N, C, K, 1)``.

        The published code reinterprets the memory of the features as one row per pixel instead of
        transposing it. The published weights require this.
        """
        features = resize(x, self.stage_hw).flatten(2)
        shares = resize(regions, self.stage_hw).flatten(2)
        channels, pixels = features.shape[1:]
        if pixels % channels:
            plain: Tensor = shares @ features.reshape(x.shape[0], -1, channels)
            return plain.mT.unsqueeze(-1)
        # The same sum without reinterpreting: each row is a run of one channel's pixels. In
        # channels-last memory format, used for large maps, only the shares are copied.
        runs = features.mT.view(x.shape[0], -1, channels, channels)
        weights = shares.reshape(x.shape[0], -1, channels, pixels // channels).permute(0, 3, 2, 1)
        context: Tensor = (runs @ weights).sum(1).unsqueeze(-1)
        return context


def _joined(strips: tuple[Tensor, ...]) -> Tensor:
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)


def _twice(channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(channels, WIDTH, kernel, relu=True), ConvNorm(WIDTH, WIDTH, kernel, relu=True)
    )
