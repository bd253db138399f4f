"""Published key layouts, one module per family, and how they become ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol, cast

from torch import Tensor

from sodcli.errors import RegistryError

Form = Literal["training", "folded"]


@dataclass(frozen=True, slots=True)
class Converted:
    """A published state dict under our keys.

    Attributes:
        state: Tensors by the keys of our modules.
        form: Whether difference convolutions are still apart or already folded.
        args: Keyword arguments for ``build`` that the file implies.
    """

    state: Mapping[str, Tensor]
    form: Form = "training"
    args: Mapping[str, Any] = field(default_factory=dict)


class Layout(Protocol):
    """What a module of this package offers."""

    def to_ours(self, state: Mapping[str, Tensor]) -> Converted | None:
        """Return ``state`` under our keys, or ``None`` if a key is not of this layout."""
        ...

    def to_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return our ``state`` under the published keys."""
        ...


def layout(name: str) -> Layout:
    """Return the layout of that name, a module of this package.

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
