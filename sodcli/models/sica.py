"""Scale-invariant context attention of InSPyReNet (ACCV 2022, arXiv 2209.09475, section 3.1)."""

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor, nn

from sodcli.models.convnorm import ConvNorm
from sodcli.models.paa import WIDTH
from sodcli.models.resample import resize
from sodcli.models.tracing import exporting

_REACH: Final = 5  # rows that five 3x3 convolutions in a row look up and down
_STRIP_VALUES: Final = 6 * 2**20  # of a feature map; the allocator keeps such blocks for re-use


class ContextAttention(nn.Module):
    """SICA: attend to the mean looks of foreground, background and borderline; the next Laplacian.

    Args:
        channels: Of the input.
        stage_hw: The size at which looks are gathered. It is fixed, so that the sums over pixels
            mean the same for a picture of any size (that makes it scale-invariant).
        edges: Whether it is also given the Laplacian of the level before, whose two signs then are
            two more contexts.
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
        """Map features and the level before to finer features and a Laplacian.

        In eval mode large maps are worked through in strips, which changes no number and keeps all
        that is computed on the way small.

        Args:
            x: ``(N, C, H, W)``.
            saliency: Logits of the level before, one channel, any size.
            laplacian: Its Laplacian, if ``edges``.
            last: Nobody will ask for the features, so they are not kept.

        Returns:
            Features ``(N, 64, H, W)``, of no channels if ``last``, and the Laplacian
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
        """Yield the rows to look at and those to keep; all in training and in a graph."""
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
        """Return how much each pixel attends to each context, ``(N, K, H, W)``."""
        likeness: Tensor = query.flatten(2).mT @ key
        shares: Tensor = (WIDTH**-0.5 * likeness).softmax(-1).mT
        return shares.reshape(query.shape[0], -1, *query.shape[-2:])

    def regions(self, x: Tensor, saliency: Tensor, laplacian: Tensor | None) -> Tensor:
        """Return how much each pixel of ``x`` belongs to each context, ``(N, 3 or 5, H, W)``."""
        excess = resize(saliency, x.shape[-2:]).sigmoid() - self.threshold
        parts = [excess.clamp(0, 1), (-excess).clamp(0, 1), self.threshold - excess.abs()]
        if laplacian is not None:
            edge = resize(laplacian, x.shape[-2:]).sigmoid() - self.lthreshold
            parts += [edge.clamp(0, 1), (-edge).clamp(0, 1)]
        return torch.cat(parts, dim=1)

    def gather(self, x: Tensor, regions: Tensor) -> Tensor:
        """Return the summed look of each context, ``(N, C, K, 1)``.

        The published code re-reads the memory of the features as one row per pixel instead of
        transposing it; the weights were trained with that, so it stays.
        """
        looks, shares = (
            resize(x, self.stage_hw).flatten(2),
            resize(regions, self.stage_hw).flatten(2),
        )
        channels, pixels = looks.shape[1:]
        if pixels % channels:
            plain: Tensor = shares @ looks.reshape(x.shape[0], -1, channels)
            return plain.mT.unsqueeze(-1)
        # The same sum without re-reading: a row is a run of one channel's pixels. With channels
        # last, which is how large maps lie in memory, nothing but the shares is copied.
        runs = looks.mT.view(x.shape[0], -1, channels, channels)
        weights = shares.reshape(x.shape[0], -1, channels, pixels // channels).permute(0, 3, 2, 1)
        context: Tensor = (runs @ weights).sum(1).unsqueeze(-1)
        return context


def _joined(strips: tuple[Tensor, ...]) -> Tensor:
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)


def _twice(channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(channels, WIDTH, kernel, relu=True), ConvNorm(WIDTH, WIDTH, kernel, relu=True)
    )
