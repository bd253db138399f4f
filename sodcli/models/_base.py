"""The interface of every network in this package."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

NO_AUX: Mapping[str, tuple[Tensor, ...]] = {}  # a dict, because torch.export takes no other mapping


class Prediction(NamedTuple):
    """The output of a network.

    Attributes:
        logits: ``(N, 1, H, W)`` for image models, ``(N, T, 1, H, W)`` for clip models; float,
            unbounded, at the input's size. The sigmoid is applied in ``imaging``.
        aux: Side outputs by name, for the losses. Empty in eval mode.
    """

    logits: Tensor
    aux: Mapping[str, tuple[Tensor, ...]] = NO_AUX


@runtime_checkable
class SplitNetwork(Protocol):
    """A clip model that computes features once per frame, then decodes whole clips."""

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the features of frames ``(N, 3, H, W)``: tensors ``(N, ...)``."""
        ...

    def decode(
        self,
        features: list[Tensor],
        frames: int,
        size_hw: tuple[int, ...],
        newest: int | None = None,
    ) -> Tensor:
        """Return logits ``(N, T, 1, H, W)`` for features ``(N * T, ...)``.

        With ``newest``, only those of the last ``newest`` frames of each clip.
        """
        ...


def replace_modules(module: nn.Module, other: Callable[[nn.Module], nn.Module | None]) -> None:
    """Replace submodules in place; ``other`` returns a submodule's replacement or ``None``."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if (new := other(child)) is not None:
                setattr(parent, name, new.train(child.training))


def exporting() -> bool:
    """Return True while the network is being traced into a graph.

    Branches and loops that depend on the input size must then be avoided. Both code paths must
    give the same numbers; a test compares every model's graph with the model.
    """
    jit: Any = torch.jit  # has no type annotations
    return bool(jit.is_tracing())
