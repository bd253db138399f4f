"""Key names of published EfficientNet-Lite0 files, whose batch norms are folded for our network.

Two key layouts are supported: timm's and EfficientNet-PyTorch's.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from torch import Tensor

from sodcli.weights.layouts import Converted

_EPS: Final = 1e-3  # of the published batch norms
_BLOCKS: Final = (1, 2, 2, 3, 3, 4, 1)  # number of blocks in each stage
_PARTS: Final = ("expand", "depthwise", "project")
_NORM: Final = ("weight", "bias", "running_mean", "running_var")
_COUNTER: Final = ".num_batches_tracked"
_HEAD: Final = ("conv_head.", "bn2.", "classifier.", "_conv_head.", "_bn1.", "_fc.")


def to_ours(state: Mapping[str, Tensor]) -> Converted | None:
    """Return ``state`` under our keys, with the encoder's batch norms folded.

    The unused classifier is dropped. Returns ``None`` if a key does not belong to these layouts, is
    missing, or has a batch norm of another width.
    """
    units = dict(_timm(state) if "conv_stem.weight" in state else _efficientnet_pytorch(state))
    known = {f"{conv}.weight" for conv, _ in units.values()}
    known |= {f"{norm}.{leaf}" for _, norm in units.values() for leaf in _NORM}
    if known != {key for key in state if not key.startswith(_HEAD) and not key.endswith(_COUNTER)}:
        return None
    folded = {}
    for name, (conv, norm) in units.items():
        kernel = state[f"{conv}.weight"]
        weight, shift, mean, variance = terms = [state[f"{norm}.{leaf}"] for leaf in _NORM]
        if any(term.shape != kernel.shape[:1] for term in terms):
            return None
        scale = weight / (variance + _EPS).sqrt()
        folded[f"encoder.{name}.weight"] = kernel * scale.view(-1, 1, 1, 1)
        folded[f"encoder.{name}.bias"] = shift - mean * scale
    return Converted(folded)


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our ``state`` unchanged: this network has no other published layout."""
    return dict(state)


def _places() -> Iterator[tuple[int, int]]:
    return ((stage, block) for stage, count in enumerate(_BLOCKS) for block in range(count))


def _timm(state: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield our name of each convolution, with timm's names of it and of its batch norm."""
    yield "stem", ("conv_stem", "bn1")
    for stage, block in _places():
        theirs = f"blocks.{stage}.{block}"
        names = ("conv_pw", "conv_dw", "conv_pwl") if stage else ("conv_dw", "conv_pw")
        for number, (part, name) in enumerate(zip(_PARTS[-len(names) :], names, strict=True), 1):
            yield f"stages.{stage}.{block}.{part}", (f"{theirs}.{name}", f"{theirs}.bn{number}")


def _efficientnet_pytorch(state: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Like :func:`_timm` for EfficientNet-PyTorch, which numbers blocks across all stages."""
    yield "stem", ("_conv_stem", "_bn0")
    for number, (stage, block) in enumerate(_places()):
        for norm, part in enumerate(_PARTS):
            if part != "expand" or stage:
                conv = f"_blocks.{number}._{part}_conv"
                yield f"stages.{stage}.{block}.{part}", (conv, f"_blocks.{number}._bn{norm}")
