"""Key names of the published SDNet and SDNet-A files, in both forms."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from sodcli.weights.layouts import Converted, Pairs, rename, rename_back

BACKBONE: Final[Pairs] = (
    ("init_block.scales", "backbone.init_block.scales"),
    ("init_block.conv.{i}.weight", "backbone.init_block.kernels.{i}"),
    ("init_block.weight", "backbone.init_block.conv.weight"),
    ("{block}.scales", "backbone.{block}.pdc.scales"),
    ("{block}.conv1.{i}.weight", "backbone.{block}.pdc.kernels.{i}"),
    ("{block}.bn0.{leaf}", "backbone.{block}.pdc.norm_in.{leaf}"),
    ("{block}.bn1.{rest}", "backbone.{block}.pdc.norms.{rest}"),
    ("{block}.bias", "backbone.{block}.pdc.shift"),
    ("{block}.conv1.{leaf}", "backbone.{block}.pdc.conv.{leaf}"),
    ("{block}.{rest}", "backbone.{block}.{rest}"),
)
PAIRS: Final[Pairs] = (
    *BACKBONE,
    ("attentions.{rest}", "decoder.attentions.{rest}"),
    ("dilations.{rest}", "decoder.dilations.{rest}"),
    ("conv_reduces.{i}.conv.{leaf}", "decoder.conv_reduces.{i}.{leaf}"),
)


def to_ours(state: Mapping[str, Tensor]) -> Converted | None:
    """Return ``state`` under our keys; form and norm are detected from the keys."""
    return from_published(state, PAIRS)


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our ``state`` under the published keys, where folded blocks always have a shift."""
    return into_published(state, PAIRS)


def from_published(state: Mapping[str, Tensor], pairs: Pairs) -> Converted | None:
    """Return ``state`` renamed to our keys by ``pairs``, or ``None`` if a key matches no pair."""
    renamed = rename(state, pairs)
    if renamed is None:
        return None
    if "init_block.weight" in state:
        return _folded(renamed)
    normed = any(key.endswith("norm_in.weight") for key in renamed)
    return Converted(renamed, "training", {"norm": "operator" if normed else "none"})


def into_published(state: Mapping[str, Tensor], pairs: Pairs) -> dict[str, Tensor]:
    """Return our ``state`` renamed to the published keys by ``pairs``.

    Raises:
        ValueError: If a key of ``state`` does not belong to this network.
    """
    complete = dict(state)
    for key, weight in state.items():
        shift = key.replace(".pdc.conv.weight", ".pdc.shift")
        if shift != key and shift not in complete:
            complete[shift] = torch.zeros(1, len(weight), 1, 1, dtype=weight.dtype)
    return rename_back(complete, pairs)


def _folded(renamed: dict[str, Tensor]) -> Converted:
    """Drop the shifts if all are zero, which means that the network was trained without norms."""
    shifts = {key for key in renamed if key.endswith(".pdc.shift")}
    if any(renamed[key].any() for key in shifts):
        return Converted(renamed, "folded", {"norm": "operator"})
    kept = {key: value for key, value in renamed.items() if key not in shifts}
    return Converted(kept, "folded", {"norm": "none"})
