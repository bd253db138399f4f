"""Scale-invariant context attention of InSPyReNet (ACCV 2022, arXiv 2209.09475, section 3.1)."""

import torch
from torch import Tensor, nn

from sodcli.models.paa import WIDTH, ConvNorm
from sodcli.models.resample import resize


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
        self, x: Tensor, saliency: Tensor, laplacian: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map features and the level before to finer features and a Laplacian.

        Args:
            x: ``(N, C, H, W)``.
            saliency: Logits of the level before, one channel, any size.
            laplacian: Its Laplacian, if ``edges``.

        Returns:
            Features ``(N, 64, H, W)`` and the Laplacian ``(N, 1, H, W)``.
        """
        context = self.gather(x, self.regions(x, saliency, laplacian))
        query = self.conv_query(x).flatten(2).mT
        key, value = self.conv_key(context).squeeze(-1), self.conv_value(context).squeeze(-1)
        weights = (WIDTH**-0.5 * (query @ key)).softmax(-1)
        attended = self.conv_out1((weights @ value.mT).mT.reshape(len(x), -1, *x.shape[-2:]))
        x = self.conv_out3(self.conv_out2(torch.cat([x, attended], dim=1)))
        return x, self.conv_out4(x)

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
        looks = resize(x, self.stage_hw).reshape(len(x), -1, x.shape[1])
        shares = resize(regions, self.stage_hw).flatten(2)
        return (shares @ looks).mT.unsqueeze(-1)


def _twice(channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(channels, WIDTH, kernel, relu=True), ConvNorm(WIDTH, WIDTH, kernel, relu=True)
    )
