"""A running average of the weights: less noise than the last step's."""

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def average_of(module: M) -> M:
    """Return a copy of ``module`` to hold its average; in eval mode, without gradients."""
    return copy.deepcopy(module).eval().requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, decay: float, step: int) -> None:
    """Move ``average`` towards ``module``.

    The decay grows with the number of steps, ``(1 + step) / (10 + step)`` at most, so that the
    first weights are soon forgotten. Buffers, such as batch norm's statistics, are averages
    already and are copied.

    Args:
        average: One of :func:`average_of`.
        module: The module in training.
        decay: Share that is kept, in ``[0, 1)``.
        step: Optimiser steps taken before, from 0.
    """
    kept = min(decay, (1 + step) / (10 + step))
    for old, new in zip(average.parameters(), module.parameters(), strict=True):
        old.lerp_(new, 1 - kept)
    for held, given in zip(average.buffers(), module.buffers(), strict=True):
        held.copy_(given)
