"""What a network is made from: an entry of models.toml and a file; found without PyTorch."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sodcli.errors import MissingError, UsageError, WeightsError
from sodcli.fetch.weights import Supply, obtain
from sodcli.registry import ModelSpec, Registry
from sodcli.text import reason_of
from sodcli.weights.cache import read_metadata

if TYPE_CHECKING:
    from torch import nn

    from sodcli.weights.read import RawWeights

DEFAULT_MODEL: Final = "sdnet"


@dataclass(frozen=True)
class Blueprint:
    """A network that is not built yet.

    Attributes:
        spec: The model's entry in models.toml.
        path: The file of its weights.
        registry: Where the model is known.
        reparam: Whether difference convolutions and norms are to be folded (DCR).
        read: The tensors, if they had to be read already.
    """

    spec: ModelSpec
    path: Path
    registry: Registry
    reparam: bool = True
    read: "RawWeights | None" = None

    def build(self) -> "nn.Module":
        """Return the network with its weights, in eval mode, on the CPU.

        Raises:
            WeightsError: If the file is damaged or belongs to another model.
        """
        from sodcli.models.diffnet import absorb_shifts
        from sodcli.models.pdc import reparameterise
        from sodcli.models.restore import restore

        module = restore(self.spec, self.raw, self.registry)
        return absorb_shifts(reparameterise(module)) if self.reparam else module

    @cached_property
    def raw(self) -> "RawWeights":
        """The tensors of the file.

        Raises:
            WeightsError: If it is damaged, or no weights file at all.
        """
        from sodcli.weights.read import read_weights

        return self.read or read_weights(self.path)

    @cached_property
    def trained(self) -> int | None:
        """Side in pixels that the weights were trained at, if the file says so."""
        size = read_metadata(self.path).get("size", "")
        return int(size) if size.isdecimal() else None

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
    """Refuse what is known to make no saliency maps, before anything is fetched or loaded.

    Args:
        name: The model, if it is named.
        weights: A name of models.toml, or a file, of which nothing is known yet.
        registry: Where names are looked up.

    Raises:
        UnknownNameError: If there is no such model.
        UsageError: If it is no model of saliency maps.
    """
    entry = registry.weights.get(weights or "")
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
) -> Blueprint:
    """Return the model that is meant and the file for it, fetched if need be.

    PyTorch is imported only for a published file without the name of its model: then the tensors
    must tell. See :func:`sodcli.runtime.predictor.load` for the rules.

    Raises:
        UnknownNameError: If there is no such model.
        MissingError: If the weights are neither here nor to be had.
        WeightsError: If the file fits no model.
    """
    if weights is None:
        spec = registry.model(name or DEFAULT_MODEL)
        if spec.weights is None:
            raise MissingError(f"no weights of {spec.name!r} are known; pass a file with -w PATH")
        return Blueprint(spec, obtain(spec.weights, registry, supply), registry, reparam)
    named = registry.model(name) if name is not None else None
    path = obtain(str(weights), registry, supply)
    named = named or registry.models.get(read_metadata(path).get("model", ""))
    if named is not None:
        return Blueprint(named, path, registry, reparam)
    from sodcli.models.restore import identify
    from sodcli.weights.read import read_weights

    raw = read_weights(path)
    fitting = identify(raw, registry)
    if fitting is None:
        raise WeightsError(f"{path}: fits no model of models.toml; name one with -m MODEL")
    return Blueprint(fitting, path, registry, reparam, raw)
