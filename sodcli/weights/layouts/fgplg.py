"""Key names of the published pseudo-label generator of RCRNet."""

from collections.abc import Mapping
from typing import Final

from torch import Tensor

from sodcli.weights.layouts import Converted
from sodcli.weights.layouts.rcrnet import IMAGE, from_published, into_published

_FLOW: Final = "flownet."  # FlowNet2 in the published file; our network takes the flow as input


def to_ours(state: Mapping[str, Tensor]) -> Converted | None:
    """Return ``state`` under our keys, without the optical flow network."""
    kept = {key: tensor for key, tensor in state.items() if not key.startswith(_FLOW)}
    return from_published(kept, IMAGE)


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our ``state`` under the published keys, without the optical flow network."""
    return into_published(state, IMAGE)
