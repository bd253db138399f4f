"""Conversion between published key layouts and ours, one module per model family."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Literal, Protocol, cast

from torch import Tensor

from sodcli.errors import RegistryError

Form = Literal["training", "folded"]
WITH_FOLDED: Final = ("sdnet", "stdnet")  # published layouts that also hold folded networks


@dataclass(frozen=True, slots=True)
class Converted:
    """A published state dict under our keys.

    Attributes:
        state: Tensors by the keys of our modules.
        form: ``training`` or ``folded``: whether the difference convolutions are folded.
        args: Keyword arguments for ``build`` that follow from the file.
    """

    state: Mapping[str, Tensor]
    form: Form = "training"
    args: Mapping[str, Any] = field(default_factory=dict)


class Layout(Protocol):
    """The interface of the modules in this package."""

    def to_ours(self, state: Mapping[str, Tensor]) -> Converted | None:
        """Return ``state`` under our keys, or ``None`` if a key does not belong to this layout."""
        ...

    def to_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return our ``state`` under the published keys."""
        ...


def layout(name: str) -> Layout:
    """Return the layout called ``name``, a module of this package.

    Raises:
        RegistryError: If there is no such module.
    """
    module = f"{__name__}.{name}"
    try:
        return cast(Layout, import_module(module))
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise RegistryError(f"models.toml: no sodcli/weights/layouts/{name}.py") from error


_FIELDS: Final = {
    "i": r"\d+",
    "j": r"\d+",
    "a": r"[hml]",
    "b": r"[hml]",
    "block": r"block\d_\d",
    "tdc": r"tdc\d",
    "part": r"project1|project2|global_spatial|global_temporal|attention",
    "leaf": r"[a-z_]+",
    "path": r".+?",
    "rest": r".+",
}
Pairs = Sequence[tuple[str, str]]


def rename(state: Mapping[str, Tensor], pairs: Pairs) -> dict[str, Tensor] | None:
    """Return ``state`` with every key renamed from the left template of a pair to the right one.

    Templates are keys with fields such as ``{i}`` (a number), ``{leaf}`` (a word) or ``{rest}``.
    The first matching pair is used. Returns ``None`` if a key matches no pair.
    """
    compiled = [(re.compile(_pattern(left)), right) for left, right in pairs]
    renamed = {}
    for key, tensor in state.items():
        new = _first_fit(key, compiled)
        if new is None:
            return None
        renamed[new] = tensor
    return renamed


def rename_back(state: Mapping[str, Tensor], pairs: Pairs) -> dict[str, Tensor]:
    """Return ``state`` with every key renamed from the right template of a pair to the left one.

    Raises:
        ValueError: If a key matches no pair.
    """
    renamed = rename(state, [(right, left) for left, right in pairs])
    if renamed is None:
        raise ValueError("not the state dict of this network")
    return renamed


def _pattern(template: str) -> str:
    pattern = re.escape(template)
    for name, expression in _FIELDS.items():
        pattern = pattern.replace(re.escape("{" + name + "}"), f"(?P<{name}>{expression})")
    return pattern


def _first_fit(key: str, compiled: Iterable[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, template in compiled:
        if found := pattern.fullmatch(key):
            return template.format(**found.groupdict())
    return None
