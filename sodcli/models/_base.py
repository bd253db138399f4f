"""What every network of this package promises its callers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

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
