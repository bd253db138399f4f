"""Build networks without drawing the weights that a file is about to replace."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

_FILLS: Final = ("uniform_", "normal_")


class Undrawn(TorchFunctionMode):
    """While it is active, parameters keep whatever their memory holds; a context manager.

    Drawing the weights of a large network takes seconds. On the meta device buffers that are
    computed, not loaded, would be lost; here they are made as always.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, unless it would fill its first argument with random numbers."""
        drawn = getattr(func, "__module__", None) == torch.nn.init.__name__
        if drawn or getattr(func, "__name__", "") in _FILLS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
