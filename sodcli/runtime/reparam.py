"""``sod reparam``: fold the difference convolutions of a weights file (DCR), and check it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import nn

from sodcli.errors import UsageError, WeightsError
from sodcli.models import build_model, input_shape
from sodcli.models.pdc import is_folded, reparameterise, spelled_out
from sodcli.models.restore import build_args, describe, restore, skip_init
from sodcli.registry import Registry
from sodcli.runtime.model_source import find_network
from sodcli.weights.cache import locate
from sodcli.weights.layouts import WITH_FOLDED, layout
from sodcli.weights.save import save_pickle, save_weights

_COMPARED_HW: Final = (128, 128)  # a kernel that is folded wrongly shows at every size
_OURS: Final = ".safetensors"
_PUBLISHED: Final = (".pth", ".pt")


@dataclass(frozen=True, slots=True)
class Folding:
    """The result of :func:`fold_file`.

    Attributes:
        model: Name of the model.
        target: The file that was written.
        difference: Largest absolute difference of the two networks' logits on random input.
        parameters: Number of parameters of the model as defined in models.toml, and after folding.
        norm_parameters: Number of additional parameters in the file, if its difference convolutions
            were trained with a different norm than models.toml defines.
    """

    model: str
    target: Path
    difference: float
    parameters: tuple[int, int]
    norm_parameters: int


def fold_file(
    wanted: str, target: Path | None, model: str | None, tol: float, registry: Registry
) -> Folding:
    """Write the folded form of a weights file.

    Args:
        wanted: A file in our layout or in a published one, or a name in models.toml.
        target: The file to write. By default ``_reparam`` is added to the stem of the source file;
            for a name, the file is written to the working directory. ``.safetensors`` means our
            layout, ``.pth`` the published one, if that has a folded form.
        model: The model of the file; by default the one whose keys and shapes match.
        tol: Largest allowed absolute difference of the logits.
        registry: The registry to look names up in.

    Raises:
        UsageError: If ``target`` is the source file, has another suffix, or is a ``.pth`` of a
            model whose published layout has no folded form.
        MissingError: If there is no such file.
        WeightsError: If there is nothing to fold, or the two networks differ by more than ``tol``;
            nothing is written then.
        SinkError: If the file cannot be written.
    """
    source = locate(wanted, registry)
    if target is not None and target.suffix not in (_OURS, *_PUBLISHED):
        raise UsageError(f"{target}: weights are written as .safetensors or .pth")
    found = find_network(model, source, registry)
    spec, raw = found.spec, found.raw
    publishable = spec.layout in WITH_FOLDED
    if target is None:
        suffix = source.suffix if publishable and source.suffix in _PUBLISHED else _OURS
        named = wanted in registry.weights
        beside = source.with_name(f"{source.stem}_reparam{suffix}")
        target = Path(f"{wanted}_reparam{_OURS}") if named else beside
    elif target.suffix != _OURS and not publishable:
        why = f"the published layout of {spec.name!r} has no folded form"
        raise UsageError(f"{target}: {why}; write .safetensors")
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target}: would overwrite the checkpoint it is made from")
    before = restore(spec, raw, registry)
    if is_folded(before):
        raise WeightsError(f"{source} is already reparameterised")
    after = reparameterise(before)
    difference = _difference(spelled_out(before), after, input_shape(spec, _COMPARED_HW))
    if not difference <= tol:
        raise WeightsError(
            f"{source}: the folded network differs by {difference:.3g}, more than --tol {tol:g}; "
            "nothing was written"
        )
    if target.suffix == _OURS:
        about = {**raw.metadata, **found.terms, **describe(spec, after, build_args(spec, raw))}
        save_weights(target, after.state_dict(), about)
    else:
        save_pickle(target, layout(spec.layout).to_published(after.state_dict()))
    with skip_init():
        usual = min(_count(build_model(spec)), _count(before))
    counts = (usual, _count(after))
    return Folding(spec.name, target, difference, counts, _count(before) - usual)


@torch.inference_mode()
def _difference(before: nn.Module, after: nn.Module, shape: tuple[int, ...]) -> float:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return float((before(x).logits - after(x).logits).abs().max())


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
