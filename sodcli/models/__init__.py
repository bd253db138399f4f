"""Build a network from its registry entry."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sodcli.errors import RegistryError
from sodcli.registry import ModelSpec

if TYPE_CHECKING:
    from torch import nn


def build_model(spec: ModelSpec, args: Mapping[str, Any] | None = None) -> "nn.Module":
    """Import ``sodcli.models.<arch>`` and call its ``build``.

    Args:
        spec: The model's entry in models.toml.
        args: Keyword arguments that replace those of the entry, one by one.

    Returns:
        The network with fresh weights, in the form that is trained.

    Raises:
        RegistryError: If there is no such module.
    """
    name = f"{__name__}.{spec.arch}"
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        missing = f"sodcli/models/{spec.arch}.py"
        raise RegistryError(f"models.toml [models.{spec.name}]: no {missing}") from error
    network: nn.Module = module.build(**{**spec.args, **(args or {})})
    return network
