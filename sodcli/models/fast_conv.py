"""3x3 convolutions with fewer multiplications, as sums of 1x1 convolutions of smaller maps.

All maps but the result are a quarter of its size, and all steps are standard operators, so that
graphs have them too. Results equal those of an ordinary convolution to float32 rounding. They are
for CPUs; libraries for GPUs choose such algorithms themselves.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models._base import replace_modules


class FastConv(nn.Module):
    """Base class: the 1x1 kernels, and the ordinary convolution that they come from.

    Args:
        factors: The 1x1 kernels ``(n, n, C', C)``, by row and column of the transformed kernel.
        bias: The bias of the convolution.
    """

    back: Sequence[Sequence[float]]
    """``(3, n)``: the matrix from a row or column of the transformed kernel to one of the 3x3."""
    bias: nn.Parameter | None

    def __init__(self, factors: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.products = nn.ParameterList(f[..., None, None].clone() for f in factors.flatten(0, 1))
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias.detach()))

    @property
    def channels(self) -> int:
        """Input channels."""
        return int(self.products[0].shape[1])

    def plain(self) -> nn.Conv2d:
        """Return the ordinary convolution."""
        factors = torch.stack([product.detach()[..., 0, 0] for product in self.products])
        back = torch.tensor(self.back).to(factors)
        side, (width_out, width_in) = back.shape[1], factors.shape[1:]
        factors = factors.reshape(side, side, width_out, width_in)
        kernel = torch.einsum("ya,xb,aboi->oiyx", back, back, factors).contiguous()
        conv = nn.Conv2d(width_in, width_out, 3, padding=1, bias=self.bias is not None)
        conv.weight, conv.bias = nn.Parameter(kernel), self.bias
        return conv.to(kernel)


def use_plain_convolutions(module: nn.Module) -> None:
    """Replace every :class:`FastConv` in ``module`` by the ordinary convolution."""
    replace_modules(module, lambda child: child.plain() if isinstance(child, FastConv) else None)


class EnlargingConv(FastConv):
    """A 3x3 convolution of a map enlarged twofold by "nearest", with a quarter of the products.

    Along one axis a kernel ``(a, b, c)`` gives two values for each pixel ``x[i]`` of the small map:
    ``(a + b + c) x[i] - a (x[i] - x[i - 1])`` and ``(a + b + c) x[i] + c (x[i + 1] - x[i])``. These
    are three products for two values, so nine for four in the plane.

    Args:
        weight: ``(C', C, 3, 3)``.
    """

    back = ((0.0, -1, 0), (1, 1, -1), (0, 0, 1))
    differences: Tensor

    def __init__(self, weight: Tensor) -> None:
        for axis in (-1, -1):  # columns, then rows; the three factors come first
            first, _, last = weight.unbind(axis)
            weight = torch.stack([weight.sum(axis), -first, last])
        super().__init__(weight)
        line = torch.tensor([[0.0, 1, 0], [-1, 1, 0], [0, -1, 1]])
        kernels = torch.einsum("ay,bx->abyx", line, line).reshape(9, 1, 3, 3)
        self.register_buffer("differences", kernels, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', 2H, 2W)``."""
        whole, left, right, top, top_left, top_right, bottom, bottom_left, bottom_right = (
            F.conv2d(self._difference(x, place), product)
            for place, product in enumerate(self.products)
        )
        above, below = whole + top, whole + bottom
        return _interleaved(
            [
                (above + left + top_left, above + right + top_right),
                (below + left + bottom_left, below + right + bottom_right),
            ]
        )

    def _difference(self, x: Tensor, place: int) -> Tensor:
        if place == 0:
            return x
        kernel = self.differences[place].expand(self.channels, 1, 3, 3)
        return F.conv2d(x, kernel, padding=1, groups=self.channels)


class WinogradConv(FastConv):
    """A size-preserving 3x3 convolution with 4/9 of the products: F(2x2, 3x3) of arXiv 1509.09308.

    It is faster only for many channels: the cost of the products grows with the square of their
    number, that of the sums only in proportion. Its weights take 16/9 of the memory.

    Args:
        conv: The convolution.
    """

    back = ((1.0, 0, 0, 0), (0, 1, -1, 0), (0, 0, 0, -1))
    rows: Tensor
    columns: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        line = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, -1]])
        weight = conv.weight.detach()
        super().__init__(torch.einsum("ay,bx,oiyx->aboi", line, line, weight), conv.bias)
        line = torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
        self.register_buffer("rows", line[:, None, :, None].clone(), persistent=False)
        self.register_buffer("columns", line[:, None, None, :].clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)``, H and W even, to ``(N, C', H, W)``."""
        by_row = [self._products_of(x, row) for row in range(4)]
        pairs = [_pair(column) for column in zip(*by_row, strict=True)]
        return _interleaved([_pair([pair[at] for pair in pairs]) for at in (0, 1)])

    def _products_of(self, x: Tensor, row: int) -> list[Tensor]:
        """Return the four products of one row of Winograd's transformed tiles."""
        kernel = self.rows[row].expand(self.channels, 1, 4, 1)
        x = F.conv2d(x, kernel, stride=(2, 1), padding=(1, 0), groups=self.channels)
        found = []
        for column in range(4):
            kernel = self.columns[column].expand(self.channels, 1, 1, 4)
            tile = F.conv2d(x, kernel, stride=(1, 2), padding=(0, 1), groups=self.channels)
            bias = self.bias if row == column == 1 else None  # the product in all four sums
            found.append(F.conv2d(tile, self.products[4 * row + column], bias))
        return found


def _pair(products: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the two values of F(2, 3) along one axis; the last factor has its sign changed."""
    first, second, third, last = products
    return first + second + third, second - third + last


def _interleaved(quarters: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the map whose even and odd rows and columns are ``quarters``, by row and column."""
    rows = [torch.stack([y.permute(0, 2, 3, 1) for y in row], dim=3) for row in quarters]
    return torch.stack(rows, dim=2).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
