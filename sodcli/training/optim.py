"""Optimisers and parameter groups, chosen by rules on parameter names."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import torch
from torch import Tensor, nn

from sodcli.errors import UsageError
from sodcli.tables import NotNegative, Range

_MOMENTUM: Final = 0.95  # decay of Muon's momentum
_POLYNOMIAL: Final = (3.4445, -4.7750, 2.0315)  # coefficients of the Newton-Schulz iteration
_ITERATIONS: Final = 5
_LIKE_ADAMW: Final = 0.2  # typical root mean square of AdamW's steps, in learning rates
_FEWEST_INPUTS: Final = 8  # kernels with fewer inputs (depthwise, the stem) use AdamW


class Muon(torch.optim.AdamW):
    """Muon for kernels with at least 8 input channels, AdamW for all other parameters.

    Muon orthogonalises the momentum of each kernel, so that all of its singular directions get
    steps of about equal size.

    Args:
        params: As in ``torch.optim.AdamW``; both methods use the group's learning rate.
        lr: Learning rate of groups without their own.
        betas: Betas of AdamW.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one optimiser step."""
        taken: list[tuple[Tensor, Tensor]] = []
        for group in self.param_groups:
            for kernel in filter(_is_matrix, group["params"]):
                if kernel.grad is not None:
                    self._turn(kernel, kernel.grad, group["lr"], group["weight_decay"])
                    taken.append((kernel, kernel.grad))
                    kernel.grad = None  # AdamW skips parameters without gradients
        super().step(closure)
        for kernel, gradient in taken:
            kernel.grad = gradient

    def _turn(self, kernel: Tensor, gradient: Tensor, lr: float, decay: float) -> None:
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
            state["step"] = torch.zeros(())  # AdamW expects it when a state is loaded
        held = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        ahead = gradient.lerp(held, _MOMENTUM)  # Nesterov momentum
        matrix = orthogonalise(ahead.flatten(1))
        kernel.mul_(1 - lr * decay)
        scale = _LIKE_ADAMW * float(max(matrix.shape)) ** 0.5
        kernel.add_(matrix.view_as(kernel), alpha=-lr * scale)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return ``matrix`` with all singular values near 1, by Newton-Schulz iteration.

    Args:
        matrix: ``(rows, columns)``, of any scale.

    Returns:
        ``(rows, columns)`` of the same dtype. Its singular values are in about [0.7, 1.2], except
        those that were below a hundredth of the largest.
    """
    a, b, c = _POLYNOMIAL
    tall = len(matrix) > matrix.shape[1]
    x: Tensor = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim == 4 and parameter.shape[1] >= _FEWEST_INPUTS


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """Settings of the parameters whose names match a pattern.

    Attributes:
        match: Regular expression, searched for in the parameter's full name.
        lr: Factor on the base learning rate; 0 freezes the parameters, and no gradients are
            computed for them.
        weight_decay: L2 penalty (Adam, SGD) or decoupled decay (AdamW, Muon).
        still_epochs: Initial epochs with a learning rate of zero; ignored if training starts from
            given weights (SDNet's warm-up of the mixing scales).
    """

    match: str = ""
    lr: NotNegative = 1.0
    weight_decay: NotNegative = 0.0
    still_epochs: Annotated[int, Range(least=0)] = 0

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except re.error as error:
            raise UsageError(f"optimizer.groups: bad pattern {self.match!r}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """An optimiser and its parameter groups.

    Attributes:
        name: The algorithm.
        betas: Betas of Adam, AdamW and the AdamW part of Muon.
        momentum: Momentum of SGD.
        nesterov: Whether SGD uses Nesterov momentum.
        groups: Rules in order; the first that matches a parameter's name applies. A parameter
            without a match gets the base rate and no decay.
    """

    name: Literal["adam", "adamw", "muon", "sgd"] = "adam"
    betas: Annotated[tuple[float, float], Range(least=0, below=1)] = (0.9, 0.999)
    momentum: NotNegative = 0.9
    nesterov: bool = False
    groups: tuple[GroupRule, ...] = ()

    def __post_init__(self) -> None:
        if self.name == "sgd" and self.nesterov and not self.momentum:
            raise UsageError("optimizer: nesterov = true needs a momentum above 0")


DECOUPLED: Final = frozenset({"adamw", "muon"})
"""Algorithms whose weight decay is decoupled from the gradient."""

_REST: Final = GroupRule()


def build_optimizer(
    module: nn.Module, config: OptimizerConfig, lr: float, *, preloaded: bool
) -> torch.optim.Optimizer:
    """Build the optimiser of ``config`` over all parameters that require gradients.

    Args:
        module: Module whose parameters are trained.
        config: Algorithm and groups.
        lr: Base learning rate.
        preloaded: Whether training starts from given weights; ``still_epochs`` is then ignored.

    Raises:
        UsageError: If the groups leave no parameter to train.
    """
    groups = _groups(module, config.groups, lr, preloaded)
    if not groups:
        raise UsageError("optimizer.groups: every parameter has lr = 0, so nothing is learnt")
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr, momentum=config.momentum, nesterov=config.nesterov)
    if config.name == "muon":
        return Muon(groups, lr, betas=config.betas)
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(groups, lr, betas=config.betas)


def set_rates(
    optimizer: torch.optim.Optimizer, epoch: int, rate_of: Callable[[float], float]
) -> float:
    """Set every group's learning rate for the coming step.

    Args:
        optimizer: From :func:`build_optimizer`.
        epoch: Epoch, from 0.
        rate_of: Maps a group's base rate to its current one.

    Returns:
        The highest rate set.
    """
    for group in optimizer.param_groups:
        still = epoch < group["still_epochs"]
        group["lr"] = 0.0 if still else rate_of(group["base_lr"])
    return max(float(group["lr"]) for group in optimizer.param_groups)


def _groups(
    module: nn.Module, rules: Sequence[GroupRule], lr: float, preloaded: bool
) -> list[dict[str, Any]]:
    members: dict[GroupRule, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            rule = next((rule for rule in rules if re.search(rule.match, name)), _REST)
            if rule.lr == 0:
                parameter.requires_grad_(False)
            else:
                members.setdefault(rule, []).append(parameter)
    return [
        {
            "params": parameters,
            "base_lr": lr * rule.lr,
            "weight_decay": rule.weight_decay,
            "still_epochs": 0 if preloaded else rule.still_epochs,
        }
        for rule, parameters in members.items()
    ]
