"""Key names of the published MINet files, and of the ImageNet backbones it starts from."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from torch import Tensor

from sodcli.weights.layouts import Converted, Pairs, rename, rename_back

_VGG_STRIDES: Final = (1, 2, 4, 8, 16)
_VGG_STARTS: Final = (0, 6, 13, 23, 33, 43)  # index of each encoder's first layer in the backbone
_MAIN: Final = "hmmml"  # the level (high, middle, low) that each aggregation refines


def _vgg() -> Iterator[tuple[str, str]]:
    for stride, (start, stop) in zip(_VGG_STRIDES, pairwise(_VGG_STARTS), strict=True):
        for layer in range(stop - start):
            yield (
                f"encoder{stride}.{layer}.{{leaf}}",
                f"backbone.features_{start + layer}.{{leaf}}",
            )


def _merges() -> Iterator[tuple[str, str]]:
    for i, level in enumerate(_MAIN):
        yield (
            f"trans.conv{i}.{level}2{level}_3.{{leaf}}",
            f"aims.{i}.merge.convs.{level}.{{leaf}}",
        )
        yield f"trans.conv{i}.bn{level}_3.{{leaf}}", f"aims.{i}.merge.bn.{{leaf}}"


_PAIRS: Final[Pairs] = (
    ("div_2.0.{leaf}", "backbone.conv1.{leaf}"),
    ("div_2.1.{leaf}", "backbone.bn1.{leaf}"),
    ("div_4.1.{rest}", "backbone.layer1.{rest}"),
    ("div_8.{rest}", "backbone.layer2.{rest}"),
    ("div_16.{rest}", "backbone.layer3.{rest}"),
    ("div_32.{rest}", "backbone.layer4.{rest}"),
    *_vgg(),
    *_merges(),
    ("trans.conv{i}.identity.{leaf}", "aims.{i}.identity.{leaf}"),
    ("trans.conv{i}.{a}2{b}_{j}.{leaf}", "aims.{i}.stages.{j}.{b}.convs.{a}.{leaf}"),
    ("trans.conv{i}.bn{b}_{j}.{leaf}", "aims.{i}.stages.{j}.{b}.bn.{leaf}"),
    ("sim{i}.{a}2{b}_{j}.{leaf}", "decoder.sims.{i}.stages.{j}.{b}.convs.{a}.{leaf}"),
    ("sim{i}.bn{b}_{j}.{leaf}", "decoder.sims.{i}.stages.{j}.{b}.bn.{leaf}"),
    ("upconv{i}.basicconv.{rest}", "decoder.upconvs.{i}.{rest}"),
    ("classifier.{leaf}", "decoder.classifier.{leaf}"),
)
_BACKBONE_ALONE: Final[Pairs] = (
    ("conv1.{leaf}", "backbone.conv1.{leaf}"),
    ("bn1.{leaf}", "backbone.bn1.{leaf}"),
    ("layer{i}.{rest}", "backbone.layer{i}.{rest}"),
    ("features.{i}.{leaf}", "backbone.features_{i}.{leaf}"),
)
_CLASSIFIER: Final = re.compile(r"(fc|classifier\.\d)\..+")  # in backbone files


def to_ours(state: Mapping[str, Tensor]) -> Converted | None:
    """Return ``state`` under our keys; the classifier of a backbone file is dropped."""
    kept = {key: tensor for key, tensor in state.items() if not _CLASSIFIER.fullmatch(key)}
    renamed = rename(kept, _PAIRS) or rename(kept, _BACKBONE_ALONE)
    return None if renamed is None else Converted(renamed)


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our ``state`` under the published keys."""
    return rename_back(state, _PAIRS)
