"""Key names of the published STDNet and STDNet-A files, in both forms."""

from collections.abc import Mapping
from typing import Final

from torch import Tensor

from sodcli.weights.layouts import Converted, Pairs
from sodcli.weights.layouts.sdnet import BACKBONE, from_published, into_published

PAIRS: Final[Pairs] = (
    *BACKBONE,
    ("global_temporal.{i}.{tdc}.convs.{j}.weight", "decoder.global_temporal.{i}.{tdc}.kernels.{j}"),
    ("global_temporal.{i}.{tdc}.convs.{leaf}", "decoder.global_temporal.{i}.{tdc}.conv.{leaf}"),
    ("global_spatial.{i}.conv1.conv.{leaf}", "decoder.global_spatial.{i}.conv1.{leaf}"),
    ("global_spatial.{i}.conv_dils.1.{leaf}", "decoder.global_spatial.{i}.conv_dils.0.{leaf}"),
    ("global_spatial.{i}.conv_dils.2.{leaf}", "decoder.global_spatial.{i}.conv_dils.1.{leaf}"),
    ("project_final.conv.{leaf}", "decoder.project_final.{leaf}"),
    ("{part}.{rest}", "decoder.{part}.{rest}"),
)


def to_ours(state: Mapping[str, Tensor]) -> Converted | None:
    """Return ``state`` under our keys; form and norm are detected from the keys."""
    return from_published(state, PAIRS)


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our ``state`` under the published keys, where folded blocks always have a shift."""
    return into_published(state, PAIRS)
