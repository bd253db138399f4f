"""Convolution, batch norm and optional ReLU as one module that folds into one convolution."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sodcli.models._base import exporting


class ConvReLU(nn.Module):
    """A size-preserving convolution with an optional ReLU; subclasses may add a norm.

    Args:
        conv: The convolution.
        relu: Whether to apply a ReLU at the end.
    """

    def __init__(self, conv: nn.Conv2d, *, relu: bool) -> None:
        super().__init__()
        self.conv, self.relu = conv, relu

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H, W)``."""
        return self._finish(self.conv(x))

    def pointwise(self, x: Tensor) -> Tensor:
        """Return ``forward(x)`` for a 1x1 kernel; contiguous if ``x`` is."""
        y = self.conv.weight.flatten(1) @ x.flatten(2)
        if self.conv.bias is not None:
            y = y + self.conv.bias[:, None]
        return self._finish(y.reshape(x.shape[0], -1, *x.shape[2:]))

    def of_mixture(self, shares: Tensor, values: Tensor) -> Tensor:
        """Return ``forward`` of a map that mixes K vectors at each pixel, without building it.

        Convolution is linear, so the result is a convolution of the shares. Its kernel is the
        weight of this convolution times the vectors, with K input channels.

        Args:
            shares: ``(N, K, H, W)``, the weight of each vector at each pixel.
            values: ``(N, C, K)``, the vectors.

        Returns:
            ``(N, C', H, W)``, equal to ``forward`` of ``sum_k shares_k values_k``.
        """
        conv = self.conv
        if exporting():  # a graph with a dynamic batch size cannot loop over the batch
            mixture = (values @ shares.flatten(2)).reshape(shares.shape[0], -1, *shares.shape[2:])
            return self.forward(mixture)
        kernels = torch.einsum("oihw,nik->nokhw", conv.weight, values)
        mapped = [
            F.conv2d(share[None], kernel, conv.bias, 1, conv.padding, conv.dilation)
            for share, kernel in zip(shares, kernels, strict=True)
        ]
        return self._finish(mapped[0] if len(mapped) == 1 else torch.cat(mapped))

    def _finish(self, y: Tensor) -> Tensor:
        return F.relu_(y) if self.relu else y


class ConvNorm(ConvReLU):
    """Convolution without bias, batch norm and optional ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int | tuple[int, int],
        *,
        dilation: int = 1,
        groups: int = 1,
        relu: bool = False,
    ) -> None:
        conv = same_conv(channels_in, channels_out, kernel, dilation, groups)
        super().__init__(conv, relu=relu)
        self.bn = nn.BatchNorm2d(channels_out)

    def folded(self) -> ConvReLU:
        """Return the convolution with bias that is equivalent in eval mode."""
        return ConvReLU(fuse_conv_bn_eval(self.conv, self.bn), relu=self.relu)

    def _finish(self, y: Tensor) -> Tensor:
        return super()._finish(self.bn(y))


def same_conv(
    channels_in: int,
    channels_out: int,
    kernel: int | tuple[int, int],
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """Return a size-preserving convolution without bias, with Kaiming normal weights."""
    conv = nn.Conv2d(
        channels_in,
        channels_out,
        kernel,
        padding="same",
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    nn.init.kaiming_normal_(conv.weight)
    return conv
