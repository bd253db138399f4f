"""Convert published weights files to our layout."""

from dataclasses import replace
from pathlib import Path

from sodcli.errors import WeightsError
from sodcli.models import build_model
from sodcli.models.restore import build_args, describe, initialise, restore, skip_init
from sodcli.registry import ModelSpec, Registry, WeightsSpec
from sodcli.weights.read import RawWeights, read_weights
from sodcli.weights.save import save_weights


def convert_weights(source: Path, target: Path, entry: WeightsSpec, registry: Registry) -> None:
    """Write the tensors of ``source`` to ``target`` in our layout.

    A file with only a backbone keeps its published keys, so that every model with that backbone can
    be initialised from it.

    Raises:
        WeightsError: If ``source`` is damaged, unsafe, or not of the model of ``entry``.
        SinkError: If ``target`` cannot be written.
    """
    spec = registry.model(entry.model)
    raw = read_weights(source)
    if raw.ours:
        raise WeightsError(f"{source}: not as published but in our layout; pass it with -w PATH")
    about = {"name": entry.name, "data": entry.trained_on, "license": entry.license}
    if entry.input_size is not None:
        about["size"] = str(entry.input_size)
    if entry.partial:
        _try_backbone(spec, raw, registry)
        save_weights(target, raw.state, about)
        return
    own = replace(spec, args={**spec.args, **entry.args})
    module = restore(own, raw, registry)
    args = {**build_args(own, raw), **entry.args}
    save_weights(target, module.state_dict(), {**about, **describe(spec, module, args)})


def _try_backbone(spec: ModelSpec, raw: RawWeights, registry: Registry) -> None:
    with skip_init():
        module = build_model(spec, build_args(spec, raw))
    initialise(module, spec, raw, registry)
