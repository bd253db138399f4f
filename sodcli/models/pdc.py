"""Pixel difference convolution and its folding into a plain convolution (DCR).

SDNet and STDNet (arXiv 2507.01182) mix a plain convolution (``cv``) with the central (``cd``),
angular (``ad``) and radial (``rd``) difference operators. Each operator is linear in its nine
weights, so it equals an ordinary convolution with an *equivalent kernel*; the mix of all of them,
weighted by ``softmax(scales)``, is one ordinary convolution too. Difference convolution
reparameterisation (DCR) computes that kernel.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.models._base import replace_modules

Norm = Literal["none", "operator", "sum"]
M = TypeVar("M", bound=nn.Module)

OPERATORS: Final = ("cv", "cd", "ad", "rd")
# Row-major indices in a 5x5 kernel: its inner 3x3, and every second position of its border.
_INNER: Final = (6, 7, 8, 11, 12, 13, 16, 17, 18)
_OUTER: Final = (0, 2, 4, 10, 14, 20, 22, 24)
_SUBTRACTED: Final = (3, 0, 1, 6, 4, 2, 7, 8, 5)  # by ``ad``: next tap around the centre
_CENTRE: Final = 4
_TINY_GAMMA: Final = 1e-6


def tap_map(operator: str) -> Tensor:
    """Return the ``(9, 25)`` matrix from an operator's weights to its equivalent 5x5 kernel.

    Raises:
        ValueError: If ``operator`` is not one of cv, cd, ad, rd.
    """
    if operator not in OPERATORS:
        known = ", ".join(OPERATORS)
        raise ValueError(f"no difference operator named {operator!r}; known: {known}")
    taps = [[0.0] * 25 for _ in range(9)]
    for tap, place in enumerate(_INNER):
        if operator != "rd":
            taps[tap][place] += 1
        if operator == "cd":
            taps[tap][_INNER[_CENTRE]] -= 1
        if operator == "ad":
            taps[_SUBTRACTED[tap]][place] -= 1
    if operator == "rd":  # its first tap, the centre, has no effect
        ring = [place for place in _INNER if place != _INNER[_CENTRE]]
        for tap, (outer, inner) in enumerate(zip(_OUTER, ring, strict=True), start=1):
            taps[tap][outer] += 1
            taps[tap][inner] -= 1
    return torch.tensor(taps)


@runtime_checkable
class Foldable(Protocol):
    """A module that can return a plain module equivalent to it in eval mode."""

    def folded(self) -> nn.Module:
        """Return the plain module; ``self`` is not modified."""
        ...


class FoldedConv(nn.Module):
    """The plain convolution equivalent to a :class:`PixelDifferenceConv`.

    Attributes:
        shift: ``(1, C, 1, 1)``, added *before* the zero padding, so that the padding is zero
            after normalisation, as in training; ``None`` without input normalisation.
        conv: The convolution.
        over_time: Whether the first spatial axis is time; its ends are then replicated instead of
            zero-padded.
    """

    shift: Tensor | None

    def __init__(self, conv: nn.Conv2d, shift: Tensor | None, *, over_time: bool) -> None:
        super().__init__()
        self.conv, self.over_time = conv, over_time
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H, W)``."""
        if self.shift is not None:
            x = x + self.shift
        y: Tensor = self.conv(hold_ends(x) if self.over_time else x)
        return y


def hold_ends(x: Tensor) -> Tensor:
    """Pad ``(N, C, T, W)`` by replicating the first and the last frame once along T."""
    return F.pad(x, (0, 0, 1, 1), mode="replicate")


class PixelDifferenceConv(nn.Module):
    """A weighted mix of difference operators, in its training form.

    Args:
        channels: Input and output channels.
        operators: Names from cv, cd, ad, rd; theta is 1 throughout.
        groups: As in ``torch.nn.Conv2d``.
        norm: ``"none"``: no batch norm. ``"operator"``: batch norm before the mix and after every
            operator, as published. ``"sum"``: batch norm before and after the whole mix, so that
            training runs one convolution, as with ``"none"``. All three fold into the same plain
            convolution.
        norm_in: Whether ``norm`` includes the batch norm before the mix.
        bias: Whether the folded form has a bias; it is zero without normalisation.
        over_time: Whether the first spatial axis is time; its ends are then replicated instead of
            zero-padded (STDC, the spatio-temporal difference convolution). Not for ``rd``.
    """

    taps: Tensor

    def __init__(
        self,
        channels: tuple[int, int],
        operators: Sequence[str],
        *,
        groups: int = 1,
        norm: Norm = "none",
        norm_in: bool = True,
        bias: bool = True,
        over_time: bool = False,
    ) -> None:
        super().__init__()
        count, (channels_in, channels_out) = len(operators), channels
        self.groups, self.norm, self.bias, self.over_time = groups, norm, bias, over_time
        self.scales = nn.Parameter(torch.tensor([0.0] + [1.0] * (count - 1)))
        self.kernels = nn.ParameterList(
            _kaiming(channels_out, channels_in // groups) for _ in operators
        )
        taps = torch.stack([tap_map(name) for name in operators])
        self.size = 5 if "rd" in operators else 3
        places = range(25) if self.size == 5 else _INNER
        self.register_buffer("taps", taps[:, :, list(places)], persistent=False)
        norms = {"none": 0, "sum": 1, "operator": count}.get(norm)
        if norms is None:
            raise ValueError(f"no norm named {norm!r}; known: none, operator, sum")
        self.norm_in = nn.BatchNorm2d(channels_in) if norms and norm_in else None
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels_out) for _ in range(norms))

    def operator_kernels(self) -> Tensor:
        """Return the equivalent kernels, ``(operators, out, in / groups, size, size)``."""
        weights = torch.stack(list(self.kernels)).flatten(-2)
        kernels = torch.einsum("noit,ntp->noip", weights, self.taps)
        return kernels.reshape(*kernels.shape[:3], self.size, self.size)

    def mixed_kernel(self) -> Tensor:
        """Return the kernel of the whole mix, ``(out, in / groups, size, size)``.

        Same function and same gradients as running every operator, at a fraction of the cost.
        """
        return torch.einsum("n,noihw->oihw", self.scales.softmax(0), self.operator_kernels())

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H, W)``."""
        if self.norm == "operator":
            return self.branches(x)
        return self._after_mix(self._conv(self._before_mix(x), self.mixed_kernel()))

    def branches(self, x: Tensor) -> Tensor:
        """Run every operator separately, then mix: the published training form.

        Batch norm after each operator needs each operator's own statistics.
        """
        x = self._before_mix(x)
        outputs = [self._conv(x, kernel) for kernel in self.operator_kernels()]
        if self.norm == "operator":
            outputs = [norm(y) for norm, y in zip(self.norms, outputs, strict=True)]
        weights = self.scales.softmax(0)
        mixed = torch.stack([w * y for w, y in zip(weights, outputs, strict=True)]).sum(0)
        return self._after_mix(mixed)

    def folded(self) -> FoldedConv:
        """Return the plain convolution equivalent in eval mode, also at the borders (DCR)."""
        with torch.no_grad():
            kernel, bias = self._absorb_norms()
            shift, gain = self._absorb_norm_in()
            conv = nn.Conv2d(
                kernel.shape[1] * self.groups,
                kernel.shape[0],
                self.size,
                padding=self._padding(),
                groups=self.groups,
                bias=self.bias,
                dtype=kernel.dtype,
                device=kernel.device,
            )
            conv.weight.copy_(kernel if gain is None else kernel * gain.view(-1, 1, 1, 1))
            if conv.bias is not None:
                conv.bias.copy_(bias)
        return FoldedConv(conv, shift, over_time=self.over_time)

    def _before_mix(self, x: Tensor) -> Tensor:
        return x if self.norm_in is None else self.norm_in(x)

    def _after_mix(self, y: Tensor) -> Tensor:
        return self.norms[0](y) if self.norm == "sum" else y

    def _conv(self, x: Tensor, kernel: Tensor) -> Tensor:
        x = hold_ends(x) if self.over_time else x
        return F.conv2d(x, kernel, padding=self._padding(), groups=self.groups)

    def _padding(self) -> tuple[int, int]:
        return (0 if self.over_time else self.size // 2), self.size // 2

    def _absorb_norms(self) -> tuple[Tensor, Tensor]:
        """Return the kernel and the bias of the mix with its output norms folded in."""
        if not self.norms:
            kernel = self.mixed_kernel()
            return kernel, kernel.new_zeros(len(kernel))
        gains, offsets = zip(*(_affine(norm) for norm in self.norms), strict=True)
        if self.norm == "sum":
            return self.mixed_kernel() * gains[0].view(-1, 1, 1, 1), offsets[0]
        mix, kernels = self.scales.softmax(0), self.operator_kernels()
        kernel = torch.einsum("n,no,noihw->oihw", mix, torch.stack(gains), kernels)
        return kernel, torch.einsum("n,no->o", mix, torch.stack(offsets))

    def _absorb_norm_in(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the shift before the (depthwise) convolution and the gain of its kernel.

        A gamma near zero is replaced by a tiny one, to avoid a division by zero. The channel is
        constant then, so the output is the same to float32 precision.
        """
        if self.norm_in is None:
            return None, None
        gamma, beta, mean, sigma = _statistics(self.norm_in)
        tiny = torch.full_like(gamma, _TINY_GAMMA).copysign(gamma)
        gamma = torch.where(gamma.abs() < _TINY_GAMMA, tiny, gamma)
        return (sigma * beta / gamma - mean).view(1, -1, 1, 1), gamma / sigma


class SpelledOut(nn.Module):
    """A :class:`PixelDifferenceConv` that runs every operator separately, for every ``norm``.

    The reference for testing DCR: the mix's own ``forward`` already uses the merged kernel.
    """

    def __init__(self, mix: PixelDifferenceConv) -> None:
        super().__init__()
        self.mix = mix

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H, W)``."""
        return self.mix.branches(x)


def reparameterise(module: M) -> M:
    """Return a copy of ``module`` with every :class:`Foldable` folded; in eval mode."""
    return _replaced(module, lambda child: child.folded() if isinstance(child, Foldable) else None)


def spelled_out(module: M) -> M:
    """Return a copy of ``module`` in which every operator runs separately; in eval mode."""
    return _replaced(
        module, lambda child: SpelledOut(child) if isinstance(child, PixelDifferenceConv) else None
    )


def is_folded(module: nn.Module) -> bool:
    """Return True if ``module`` has nothing left that :func:`reparameterise` would fold."""
    return not any(isinstance(child, Foldable) for child in module.modules())


def _replaced(module: M, other: Callable[[nn.Module], nn.Module | None]) -> M:
    """Return a copy in eval mode, changed by :func:`.replace_modules`."""
    changed = copy.deepcopy(module).eval()
    replace_modules(changed, other)
    return changed


def _kaiming(channels_out: int, channels_in: int) -> nn.Parameter:
    weight = torch.empty(channels_out, channels_in, 3, 3)
    nn.init.kaiming_uniform_(weight, a=5**0.5)
    return nn.Parameter(weight)


def _statistics(norm: nn.Module) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return gamma, beta, the running mean and the running standard deviation."""
    state = norm.state_dict()
    sigma = torch.sqrt(state["running_var"] + float(norm.eps))  # type: ignore[arg-type]
    return state["weight"], state["bias"], state["running_mean"], sigma


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the gain and the offset of a batch norm in eval mode."""
    gamma, beta, mean, sigma = _statistics(norm)
    return gamma / sigma, beta - mean * gamma / sigma
