"""What the shell offers after the Tab key for options whose values are names."""

from collections.abc import Iterable
from typing import Final

from sodcli.registry import default_registry

_TYPES: Final = ("map", "green", "rgba", "blur", "overlay")  # imaging.compose brings OpenCV along


def models(incomplete: str) -> list[str]:
    """Return the models whose names begin with ``incomplete``."""
    return _matching(default_registry().models, incomplete)


def weights(incomplete: str) -> list[str]:
    """Return the named weights; the shell adds files by itself where none match."""
    return _matching(default_registry().weights, incomplete)


def recipes(incomplete: str) -> list[str]:
    """Return the training recipes whose names begin with ``incomplete``."""
    return _matching(default_registry().recipes, incomplete)


def downloads(incomplete: str) -> list[str]:
    """Return what ``sod fetch`` knows: models, weights and benchmark sets."""
    registry = default_registry()
    names = {*registry.models, *registry.weights, *registry.datasets}
    return _matching(names, incomplete)


def types(incomplete: str) -> list[str]:
    """Return the output types that are words."""
    return _matching(_TYPES, incomplete)


def _matching(names: Iterable[str], start: str) -> list[str]:
    return sorted(name for name in names if name.startswith(start))
