"""Key names of torchvision's RAFT files."""

from collections.abc import Mapping
from typing import Final

from torch import Tensor

from sodcli.weights.layouts import Converted

_PARTS: Final = ("feature_encoder.", "context_encoder.", "update_block.", "mask_predictor.")
_OURS: Final = "net."


def to_ours(state: Mapping[str, Tensor]) -> Converted | None:
    """Return ``state`` under our keys, or ``None`` if a key does not belong to this layout."""
    if not all(key.startswith(_PARTS) for key in state):
        return None
    return Converted({f"{_OURS}{key}": tensor for key, tensor in state.items()})


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our ``state`` under torchvision's keys."""
    return {key.removeprefix(_OURS): tensor for key, tensor in state.items()}
