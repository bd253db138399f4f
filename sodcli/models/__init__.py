"""Build a network from its registry entry."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sodcli.errors import RegistryError, UsageError
from sodcli.registry import ModelSpec

if TYPE_CHECKING:
    from torch import nn


def build_model(spec: ModelSpec, args: Mapping[str, Any] | None = None) -> "nn.Module":
    """Import ``sodcli.models.<arch>`` and call its ``build``.

    Args:
        spec: The model's entry in models.toml.
        args: Keyword arguments that override those of the entry.

    Returns:
        The network in its training form, with fresh weights.

    Raises:
        RegistryError: If there is no such module.
        UsageError: If ``build`` does not take these arguments or values.
    """
    name = f"{__name__}.{spec.arch}"
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        missing = f"sodcli/models/{spec.arch}.py"
        raise RegistryError(f"models.toml [models.{spec.name}]: no {missing}") from error
    given = {**spec.args, **(args or {})}
    try:
        network: nn.Module = module.build(**given)
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError(f"{spec.name!r} cannot be built with args {given}: {error}") from error
    return network


def input_shape(
    spec: ModelSpec, size_hw: tuple[int, int], *, batch: int = 1, clip: int | None = None
) -> tuple[int, ...]:
    """Return the input shape of the network of ``spec``.

    Args:
        spec: The model's entry in models.toml.
        size_hw: Height and width in pixels.
        batch: Number of pictures, or of clips for a clip model.
        clip: Frames per clip; the model's ``clip_len`` by default.

    Returns:
        ``(batch, 3, H, W)``, or ``(batch, clip, 3, H, W)`` for a clip model; for a network that
        also takes labels and flows, ``(batch, 9, H, W)`` (see :mod:`sodcli.models.fgplg`).
    """
    frames = () if spec.clip_len == 1 else (clip or spec.clip_len,)
    if spec.task != "pseudo-label":
        return (batch, *frames, 3, *size_hw)
    from sodcli.imaging.evidence import PACKED  # imports OpenCV

    return (batch, sum(PACKED), *size_hw)
