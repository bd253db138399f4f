"""The losses by name."""

from collections.abc import Callable
from typing import Final

from torch import Tensor

from sodcli.errors import UsageError
from sodcli.models._base import Prediction
from sodcli.registry import did_you_mean

Loss = Callable[[Prediction, Tensor], Tensor]
"""Maps a float32 prediction and ground truth ``(N, 1, H, W)`` or ``(N, T, 1, H, W)`` in ``[0, 1]``
to a scalar that is the mean over the batch's N items, so that batches can be cut in pieces."""

_LOSSES: Final[dict[str, Loss]] = {}


def loss(name: str) -> Callable[[Loss], Loss]:
    """Register the decorated function under ``name``.

    Raises:
        ValueError: If the name has an owner.
    """

    def add(function: Loss) -> Loss:
        if name in _LOSSES:
            raise ValueError(f"loss {name!r} exists already")
        _LOSSES[name] = function
        return function

    return add


def get_loss(name: str) -> Loss:
    """Return the loss called ``name``.

    Raises:
        UsageError: If there is none; the message suggests the nearest.
    """
    if name in _LOSSES:
        return _LOSSES[name]
    known = ", ".join(sorted(_LOSSES))
    raise UsageError(f"no loss named {name!r}.{did_you_mean(name, _LOSSES)} Known: {known}.")
