"""What every network of this package promises its callers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

NO_AUX: Mapping[str, tuple[Tensor, ...]] = MappingProxyType({})


class Prediction(NamedTuple):
    """The answer of a network.

    Attributes:
        logits: ``(N, 1, H, W)`` for image models, ``(N, T, 1, H, W)`` for clip models; float,
            unbounded, at the input's size. The sigmoid happens in ``imaging``.
        aux: Side outputs by name, for the losses. Empty in eval mode.
    """

    logits: Tensor
    aux: Mapping[str, tuple[Tensor, ...]] = NO_AUX


@runtime_checkable
class SplitNetwork(Protocol):
    """A clip model whose work can be parted: once per frame, then once per clip."""

    def features(self, x: Tensor) -> list[Tensor]:
        """Return what is needed of each of ``(N, 3, H, W)`` frames: tensors ``(N, ...)``."""
        ...

    def decode(
        self,
        features: list[Tensor],
        frames: int,
        size_hw: tuple[int, ...],
        newest: int | None = None,
    ) -> Tensor:
        """Return the logits, ``(N, T, 1, H, W)``, of ``(N * T, ...)`` features.

        With ``newest``, those of so many frames at the end of each clip.
        """
        ...


@runtime_checkable
class BlendingNetwork(Protocol):
    """An image model that adds the detail of a large picture to what it found in a small one."""

    def blended(self, x: Tensor, x_lr: Tensor) -> Tensor:
        """Return logits ``(N, 1, H, W)`` for pictures ``(N, 3, H, W)`` and the same, small."""
        ...


def exporting() -> bool:
    """Say whether the exporter is watching: only what depends on no size may then branch or loop.

    Both ways must give the same numbers; a test compares every model's graph with the model.
    """
    jit: Any = torch.jit  # which declares no types
    return bool(jit.is_tracing())
