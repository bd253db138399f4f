"""Key names of the published InSPyReNet files, and of the ImageNet backbones it starts from."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from sodcli.weights.layouts import Converted, Pairs, rename, rename_back

_PARTS: Final[Pairs] = (
    *((f"context{i + 1}.{{rest}}", f"contexts.{i}.{{rest}}") for i in range(5)),
    ("attention{i}.{rest}", "attentions.{i}.{rest}"),
    ("decoder.{rest}", "decoder.{rest}"),
    ("backbone.norm{i}.{leaf}", "backbone.norms.{i}.{leaf}"),
    ("backbone.{rest}", "backbone.{rest}"),
)
_BACKBONE_ALONE: Final[Pairs] = (
    ("patch_embed.{rest}", "backbone.patch_embed.{rest}"),
    ("layers.{rest}", "backbone.layers.{rest}"),
    ("conv1.{rest}", "backbone.conv1.{rest}"),
    ("bn1.{leaf}", "backbone.bn1.{leaf}"),
    ("layer{i}.{rest}", "backbone.layer{i}.{rest}"),
)
_AXES: Final[Pairs] = (
    ("{path}.Hattn.{rest}", "{path}.attention.height.{rest}"),
    ("{path}.Wattn.{rest}", "{path}.attention.width.{rest}"),
    ("{rest}", "{rest}"),
)
# Swin files store two constants per block, which our modules compute.
_INDEX: Final = ".relative_position_index"
_CONSTANTS: Final = (_INDEX, ".attn_mask")
_CLASSIFIER: Final = ("norm.", "head.", "fc.")  # in files with only a backbone
_TABLE: Final = ".relative_position_bias_table"


def to_ours(state: Mapping[str, Tensor]) -> Converted | None:
    """Return ``state`` under our keys; the classifier of a backbone file is dropped."""
    kept = {
        key: tensor
        for key, tensor in state.items()
        if not key.endswith(_CONSTANTS) and not key.startswith(_CLASSIFIER)
    }
    parts = rename(kept, _PARTS) or rename(kept, _BACKBONE_ALONE)
    renamed = None if parts is None else rename(parts, _AXES)
    return None if renamed is None else Converted(renamed)


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our ``state`` under the published keys, with the constants of Swin."""
    renamed = rename_back(rename_back(state, _AXES), _PARTS)
    for key in [key for key in renamed if key.endswith(_TABLE)]:
        window = (int(len(renamed[key]) ** 0.5) + 1) // 2
        renamed[key.removesuffix(_TABLE) + _INDEX] = _relative_index(window)
    return renamed


def _relative_index(window: int) -> Tensor:
    place = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    offset = place[:, None] - place[None] + window - 1
    return offset[..., 0] * (2 * window - 1) + offset[..., 1]
