"""Find the requested model and its weights file without importing PyTorch."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sodcli.errors import MissingError, UnknownNameError, UsageError, WeightsError
from sodcli.fetch.weights import Supply, obtain
from sodcli.registry import DEFAULT_MODEL, ModelSpec, Registry
from sodcli.runtime.high_resolution import SMALLEST_SIDE
from sodcli.text import did_you_mean, reason_of
from sodcli.weights import cache
from sodcli.weights.cache import read_metadata

if TYPE_CHECKING:
    from torch import nn

    from sodcli.weights.read import RawWeights


_LARGEST_SIDE: Final = 2**14  # in pixels, of a size in metadata


def _ignore(_text: str) -> None:
    pass


@dataclass(frozen=True)
class ModelSource:
    """A model and its weights file; :meth:`build` makes the network.

    Attributes:
        spec: The model's entry in models.toml.
        path: The weights file.
        registry: The registry that ``spec`` comes from.
        reparam: Fold difference convolutions and norms (DCR).
        read: The tensors, if the file has been read already.
        note: Called with a message when one of several sets of weights is chosen, and when a graph
            is made, which takes seconds.
        is_graph: Whether the file is an ONNX graph that ``sod export`` wrote.
        fixed_shape: The only input shape that this graph takes; ``None`` for any batch and size.
    """

    spec: ModelSpec
    path: Path
    registry: Registry
    reparam: bool = True
    read: "RawWeights | None" = None
    note: Callable[[str], None] = _ignore
    is_graph: bool = False
    fixed_shape: tuple[int, ...] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tensors and ``note`` out of pickles; the copy reads the file again."""
        return {**self.__dict__, "read": None, "note": _ignore}

    def build(self) -> "nn.Module":
        """Return the network with its weights, in eval mode, on the CPU.

        Raises:
            WeightsError: If the file is damaged or belongs to another model.
        """
        from sodcli.models.diffnet import absorb_shifts
        from sodcli.models.pdc import reparameterise
        from sodcli.models.restore import restore

        module = restore(self.spec, self.raw, self.registry)
        if not self.reparam:
            return module
        module = reparameterise(module)
        absorb_shifts(module)
        if not all(bool(tensor.isfinite().all()) for tensor in module.state_dict().values()):
            raise WeightsError(f"{self.path}: folding gives values that are not finite")
        return module

    @property
    def raw(self) -> "RawWeights":
        """The tensors of the file.

        Raises:
            WeightsError: If it is damaged or not a weights file.
        """
        from sodcli.weights.read import read_weights

        raw = self.read or read_weights(self.path)
        if raw.averaged:
            self.note(
                f"{self.path}: holds several sets of weights; the averaged ones (EMA) are used"
            )
        return raw

    @cached_property
    def trained(self) -> int | None:
        """Side in pixels of the training pictures, if the file states it.

        Raises:
            WeightsError: If that is not a size a network can take.
        """
        size = read_metadata(self.path).get("size", "")
        return _side(size, self.path) if size.isdecimal() else None

    @property
    def terms(self) -> dict[str, str]:
        """Licence, training data and terms of the weights: ``license``, ``data`` and ``terms``.

        They are read from models.toml if it lists the file, else from the file's metadata. Unknown
        entries are left out.
        """
        for entry in self.registry.weights.values():
            if cache.stored(entry) == self.path:
                known = {"license": entry.license, "data": entry.trained_on, "terms": entry.terms}
                return {key: text for key, text in known.items() if text is not None}
        told = read_metadata(self.path)
        return {key: told[key] for key in ("license", "data", "terms") if key in told}

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the file.

        Raises:
            WeightsError: If it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise WeightsError(f"{self.path}: {reason_of(error).lower()}") from error


def require_maps(name: str | None, weights: str | None, registry: Registry) -> None:
    """Check that a model makes saliency maps, before anything is downloaded or loaded.

    Args:
        name: The model name, if given.
        weights: A name in models.toml, or a file, which is not opened.
        registry: The registry to look names up in.

    Raises:
        UnknownNameError: If there is no such model.
        UsageError: If the model makes no saliency maps.
    """
    entry = registry.weights.get(weights or "")
    if name is not None and name not in registry.models:
        known = sorted(key for key, spec in registry.models.items() if spec.task == "saliency")
        raise UnknownNameError(
            f"no model named {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}."
        )
    for model in filter(None, (name, entry.model if entry else None)):
        if registry.model(model).task != "saliency":
            raise UsageError(f"{model!r} makes no saliency maps of its own; choose another model")


def find_network(
    name: str | None,
    weights: str | Path | None,
    registry: Registry,
    supply: Supply | None = None,
    *,
    reparam: bool = True,
) -> ModelSource:
    """Return the model and its weights file, which is downloaded if necessary.

    PyTorch is imported only for a published file given without a model name: its tensors are then
    compared with every model. The arguments are those of :func:`sodcli.runtime.predictor.load`;
    ``supply`` holds its ``offline`` and ``watch``.

    Raises:
        UnknownNameError: If there is no such model.
        MissingError: If the weights are neither on this machine nor available for download.
        WeightsError: If the file fits no model.
    """
    note = (supply or Supply()).events.note
    if weights is None:
        spec = registry.model(name or DEFAULT_MODEL)
        if spec.weights is None:
            raise MissingError(f"no weights of {spec.name!r} are known; pass a file with -w PATH")
        return ModelSource(
            spec, obtain(spec.weights, registry, supply), registry, reparam, note=note
        )
    named = registry.model(name) if name is not None else None
    path = obtain(str(weights), registry, supply)
    if path.suffix.lower() == cache.GRAPH_SUFFIX:
        return _exported(path, name, registry)
    named = named or registry.models.get(read_metadata(path).get("model", ""))
    if named is not None:
        return ModelSource(named, path, registry, reparam, note=note)
    from sodcli.models.restore import identify
    from sodcli.weights.read import read_weights

    raw = read_weights(path)
    fitting = identify(raw, registry)
    if fitting is None:
        raise WeightsError(f"{path}: fits no model of models.toml; name one with -m MODEL")
    return ModelSource(fitting, path, registry, reparam, raw, note)


def _exported(path: Path, name: str | None, registry: Registry) -> ModelSource:
    """Return the source of a graph that ``sod export`` wrote, with the settings in its metadata."""
    about = read_metadata(path)
    spec = registry.models.get(about.get("model", ""))
    if spec is None:
        raise WeightsError(f"{path}: not written by sod export: its metadata names no known model")
    if name not in (None, spec.name):
        raise WeightsError(f"{path}: a graph of {spec.name!r}, not of {name!r}; add -m {spec.name}")
    if about.get("input_type") == "uint8":
        raise WeightsError(
            f"{path}: takes and gives bytes, but sod needs logits; export it without --uint8"
        )
    try:
        mean, std = _triple(about["mean"]), _triple(about["std"])
        height, width = (_side(side, path) for side in about["size"].split("x"))
        clip, sides = max(1, int(about["clip"])), about.get("shape", "").split()
        fixed = tuple(map(int, sides)) if sides and all(map(str.isdecimal, sides)) else None
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path}: damaged metadata ({error})") from error
    if fixed and (len(fixed) not in (4, 5) or 0 in fixed or fixed[-3:] != (3, height, width)):
        raise WeightsError(f"{path}: damaged metadata (shape {about['shape']})")
    spec = replace(spec, mean=mean, std=std, input_hw=(height, width), clip_len=clip, high_res=None)
    if fixed:  # the second pass has another size
        spec = replace(spec, context=0.0)
    return ModelSource(spec, path, registry, is_graph=True, fixed_shape=fixed)


def _side(text: str, path: Path) -> int:
    """Return a side in pixels from the metadata of ``path``."""
    side = int(text)
    if not SMALLEST_SIDE <= side <= _LARGEST_SIDE:
        raise WeightsError(f"{path}: damaged metadata (size {text})")
    return side


def _triple(text: str) -> tuple[float, float, float]:
    red, green, blue = map(float, text.split())
    return red, green, blue
