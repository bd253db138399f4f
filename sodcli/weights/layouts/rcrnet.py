"""Key names of the published RCRNet files, and of the ImageNet backbone they start from."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from sodcli.weights.layouts import Converted, Pairs, rename, rename_back

IMAGE: Final[Pairs] = (
    ("backbone.resnet.{rest}", "backbone.resnet.{rest}"),
    ("backbone.aspp.stages.c{i}.{rest}", "backbone.aspp.branches.{i}.{rest}"),
    ("backbone.aspp.imagepool.conv.{rest}", "backbone.aspp.pool.{rest}"),
    ("backbone.aspp.fire.conv.{rest}", "backbone.aspp.merge.{rest}"),
    *(
        (
            f"backbone.refinement{i + 1}.{theirs}.{{rest}}",
            f"backbone.decoder.refinements.{i}.{ours}.{{rest}}",
        )
        for i in range(3)
        for theirs, ours in (("skip", "skip"), ("refine", "merge"))
    ),
    ("backbone.decoder.{rest}", "backbone.decoder.{rest}"),
)
_FILM: Final[Pairs] = (
    ("convgru_forward.{rest}", "recurrent.forth.{rest}"),
    ("convgru_backward.{rest}", "recurrent.back.{rest}"),
    ("bidirection_conv.{leaf}", "recurrent.merge.{leaf}"),
    ("non_local_block.W.{leaf}", "recurrent.before.out.{leaf}"),
    ("non_local_block.{rest}", "recurrent.before.{rest}"),
    ("non_local_block2.W.{leaf}", "recurrent.after.out.{leaf}"),
    ("non_local_block2.{rest}", "recurrent.after.{rest}"),
)
_BACKBONE_ALONE: Final[Pairs] = (
    ("conv1.{leaf}", "backbone.resnet.conv1.{leaf}"),
    ("bn1.{leaf}", "backbone.resnet.bn1.{leaf}"),
    ("layer{i}.{rest}", "backbone.resnet.layer{i}.{rest}"),
)
# The published files contain the backbone's ImageNet classifier, which is not used.
_UNUSED: Final = {"backbone.resnet.fc.weight": (1000, 2048), "backbone.resnet.fc.bias": (1000,)}
_CLASSIFIER: Final = (*_UNUSED, "fc.weight", "fc.bias")


def to_ours(state: Mapping[str, Tensor]) -> Converted | None:
    """Return ``state``, a network or only its backbone, under our keys without the classifier."""
    flat = {key: value.flatten(2) if value.ndim == 5 else value for key, value in state.items()}
    return from_published(flat, (*IMAGE, *_FILM))


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our ``state`` under the published keys; the unused classifier is set to zero.

    Non-local blocks use 1x1x1 convolutions (Conv3d) in the published network and 1D convolutions
    over flattened positions in ours.
    """
    renamed = into_published(state, (*IMAGE, *_FILM))
    return {key: v[..., None, None] if v.ndim == 3 else v for key, v in renamed.items()}


def from_published(state: Mapping[str, Tensor], pairs: Pairs) -> Converted | None:
    """Return ``state`` renamed to our keys by ``pairs``, or ``None`` if a key matches no pair."""
    kept = {key: tensor for key, tensor in state.items() if key not in _CLASSIFIER}
    renamed = rename(kept, pairs) or rename(kept, _BACKBONE_ALONE)
    return None if renamed is None else Converted(renamed)


def into_published(state: Mapping[str, Tensor], pairs: Pairs) -> dict[str, Tensor]:
    """Return our ``state`` renamed by ``pairs``, with the unused classifier set to zero.

    Raises:
        ValueError: If a key of ``state`` does not belong to this network.
    """
    return rename_back(state, pairs) | {key: torch.zeros(shape) for key, shape in _UNUSED.items()}
