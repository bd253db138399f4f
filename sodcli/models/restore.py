"""Load the tensors of a weights file into their network."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sodcli.errors import UsageError, WeightsError
from sodcli.models import build_model
from sodcli.models.pdc import is_folded, reparameterise
from sodcli.registry import ModelSpec, Registry
from sodcli.text import shortened
from sodcli.weights.layouts import Converted, layout
from sodcli.weights.read import RawWeights

_FILLS: Final = ("uniform_", "normal_")


class skip_init(TorchFunctionMode):  # noqa: N801 - used like a function
    """Context manager in which building a network leaves its parameters uninitialised.

    Random initialisation of a large network takes seconds. Building on the meta device instead
    would lose buffers that are computed rather than loaded.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, unless it fills its first argument with random numbers."""
        initialises = getattr(func, "__module__", None) == torch.nn.init.__name__
        if initialises or getattr(func, "__name__", "") in _FILLS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


_BACKBONE: Final = "backbone."
_FIRST: Final = "backbone.resnet.conv1.weight"
_RGB: Final = 3


def restore(spec: ModelSpec, raw: RawWeights, registry: Registry) -> nn.Module:
    """Return ``spec``'s network with the weights of ``raw``, in eval mode.

    The network is in the form of the file, training or folded.

    Raises:
        WeightsError: If keys or shapes do not fit; the message names the model that they fit, if
            there is one.
    """
    converted = convert(spec, raw)
    if converted is None:
        _refuse(spec, raw, registry, _unknown_keys(spec, raw))
    try:
        module = _shaped(spec, converted)
    except UsageError as error:
        raise WeightsError(f"{raw.path}: damaged metadata ({error})") from error
    misfit = _misfit(module, converted.state)
    if misfit:
        _refuse(spec, raw, registry, misfit)
    module.load_state_dict(converted.state)
    return module.eval()


def initialise(module: nn.Module, spec: ModelSpec, raw: RawWeights, registry: Registry) -> int:
    """Copy the tensors of ``raw`` into ``module``, as the start of training.

    ``raw`` may hold only a backbone, or another model with the same backbone (STDNet starts from
    SDNet); in that case only the backbone is copied. If the first convolution of ``module`` has
    more than three input channels (FGPLG), the additional ones keep their initial values, as
    published.

    Returns:
        The number of copied tensors.

    Raises:
        WeightsError: If ``module`` has no match for a tensor of ``raw``, or no key is known; the
            message names the model that fits, if there is one.
    """
    target = module.state_dict()
    state = _start_of(spec, raw, target, registry)
    if state is None:
        why = _why_not(spec, raw, target, registry)
        raise WeightsError(f"{raw.path}: does not fit {spec.name}{why}")
    module.load_state_dict(state, strict=False)
    return len(state)


def norm_of(spec: ModelSpec, raw: RawWeights, registry: Registry) -> str | None:
    """Return the argument ``norm`` of the network in ``raw``, from which ``spec`` is to start.

    None if the file does not tell it, as with networks that have no such argument.
    """
    holder = spec if convert(spec, raw) else _holder(raw, registry)
    if holder is None:
        return None
    norm: str | None = {**holder.args, **build_args(holder, raw)}.get("norm")
    return norm


def identify(raw: RawWeights, registry: Registry) -> ModelSpec | None:
    """Return the model whose network ``raw`` fits exactly, or ``None``."""
    for spec in registry.models.values():
        converted = convert(spec, raw)
        if converted and not _misfit(_shaped(spec, converted), converted.state):
            return spec
    return None


def convert(spec: ModelSpec, raw: RawWeights) -> Converted | None:
    """Return the tensors of ``raw`` under our keys, or ``None`` if they belong to another model.

    Raises:
        WeightsError: If the metadata of a file in our own format is damaged.
    """
    if not raw.ours:
        return layout(spec.layout).to_ours(raw.state)
    if raw.metadata["model"] != spec.name:
        return None
    try:
        args = dict(json.loads(raw.metadata.get("args", "{}")))
        form = {"training": "training", "folded": "folded"}[raw.metadata.get("form", "training")]
    except (TypeError, ValueError, KeyError) as error:
        raise WeightsError(f"{raw.path}: damaged metadata ({error})") from error
    return Converted(raw.state, form, args)  # type: ignore[arg-type]


def describe(spec: ModelSpec, module: nn.Module, args: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata from which :func:`restore` rebuilds ``module``."""
    form = "folded" if is_folded(module) else "training"
    return {"model": spec.name, "form": form, "args": json.dumps(dict(args))}


def build_args(spec: ModelSpec, raw: RawWeights) -> Mapping[str, Any]:
    """Return the keyword arguments of ``build`` that the file implies."""
    converted = convert(spec, raw)
    return converted.args if converted is not None else {}


def _holder(raw: RawWeights, registry: Registry) -> ModelSpec | None:
    """Return the model of a file: the one that it names, else the one whose network it fits."""
    named = registry.models.get(raw.metadata["model"]) if raw.ours else None
    return named or identify(raw, registry)


def _start_of(
    spec: ModelSpec, raw: RawWeights, target: Mapping[str, Tensor], registry: Registry
) -> Mapping[str, Tensor] | None:
    """Return the tensors of ``raw`` to start ``target`` from; None if they do not fit."""
    converted = convert(spec, raw)
    state = _widened(converted.state, target) if converted else {}
    if state and _placed(state, target):
        return state
    other = _holder(raw, registry)
    converted = convert(other, raw) if other else None
    if converted is None:
        return None
    theirs = _backbone(_widened(converted.state, target))
    complete = theirs.keys() == _backbone(target).keys()
    return theirs if theirs and complete and _placed(theirs, target) else None


def _placed(state: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> bool:
    """Return True if every tensor has one of the same shape in ``target``."""
    return all(key in target and target[key].shape == x.shape for key, x in state.items())


def _backbone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if key.startswith(_BACKBONE)}


def _why_not(
    spec: ModelSpec, raw: RawWeights, target: Mapping[str, Tensor], registry: Registry
) -> str:
    """Say why ``target`` cannot start from ``raw``, or which model can; follows a model's name."""
    holder = _holder(raw, registry)
    converted = convert(holder, raw) if holder else None
    if converted and converted.form == "folded":
        return ": its convolutions are folded; give the file that sod reparam read"
    norm = norm_of(spec, raw, registry)
    for other in registry.models.values():
        if other.arch == spec.arch and other is not spec:
            args = {"norm": norm} if norm and "norm" in other.args else {}
            theirs = _shaped(other, Converted({}, args=args)).state_dict()
            if _start_of(other, raw, theirs, registry) is not None:
                return f" but {other.name}; add -m {other.name}"
    if holder is None:
        own = convert(spec, raw)
        state = _widened(own.state, target) if own else {}
        lost = [key for key, tensor in state.items() if not _placed({key: tensor}, target)]
        return f": no place for {lost[0]}" if lost else ": no key of it is known"
    if norm and holder.args.get("backbone") == spec.args.get("backbone"):
        words = f'norm = "{norm}"'
        return f": it has {words}; args = {{ {words} }} in --config builds the same"
    return f": it holds {holder.name}, which has another backbone"


def _widened(state: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Append ``target``'s additional input channels to the first convolution of an RGB model."""
    given, fresh = state.get(_FIRST), target.get(_FIRST)
    if given is None or fresh is None or fresh.shape[1] <= _RGB:
        return state
    if given.shape != (fresh.shape[0], _RGB, *fresh.shape[2:]):
        return state
    return {**state, _FIRST: torch.cat([given, fresh[:, _RGB:].to(given)], dim=1)}


def _shaped(spec: ModelSpec, converted: Converted) -> nn.Module:
    with skip_init():
        module = build_model(spec, converted.args).eval()
    return reparameterise(module) if converted.form == "folded" else module


def _misfit(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Describe how keys and shapes of ``state`` differ from ``module``'s; empty if they match."""
    target = module.state_dict()
    missing = [key for key in target if key not in state]
    extra = [key for key in state if key not in target]
    shaped = [key for key in target if key in state and target[key].shape != state[key].shape]
    return _listed({"missing": missing, "unknown": extra, "of another shape": shaped})


def _unknown_keys(spec: ModelSpec, raw: RawWeights) -> str:
    """Describe how the keys of a published file differ from those of ``spec``."""
    module = _shaped(spec, Converted({}))
    published = layout(spec.layout).to_published(module.state_dict())
    if len(published.keys() & raw.state.keys()) * 2 < len(published):
        return "its key names are not of this model"
    missing = [key for key in published if key not in raw.state]
    extra = [key for key in raw.state if key not in published]
    return _listed({"missing": missing, "unknown": extra})


def _listed(found: Mapping[str, Sequence[str]]) -> str:
    """Return the count and the first few keys of each kind; empty if there are none."""
    parts = [f"{len(keys)} {kind} ({shortened(keys)})" for kind, keys in found.items() if keys]
    return "keys " + ", ".join(parts) if parts else ""


def _refuse(spec: ModelSpec, raw: RawWeights, registry: Registry, why: str) -> NoReturn:
    other = _holder(raw, registry)
    if other is not None:
        raise WeightsError(
            f"{raw.path}: weights of {other.name!r}, not of {spec.name!r}; add -m {other.name}"
        )
    raise WeightsError(f"{raw.path}: does not fit {spec.name!r}: {why}")
