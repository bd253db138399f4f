"""Read models.toml into frozen, checked values."""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar

from sodcli.errors import RegistryError, UnknownNameError

_MODULE: Final = re.compile(r"[a-z][a-z0-9_]*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_HTTPS: Final = re.compile(r"https://[^\s]+")

Spec = TypeVar("Spec")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One entry under ``[models]``.

    Attributes:
        name: Key of the entry, as typed after ``--model``.
        arch: Module of ``sodcli.models`` that builds it.
        args: Keyword arguments for the module's ``build``.
        input_hw: Height and width in pixels of the published protocol.
        clip_len: Frames per forward pass; 1 for an image model.
        mean: Mean of the input normalisation, RGB, of values in ``[0, 1]``.
        std: Standard deviation of the same.
        weights: Name of the default entry under ``[weights]``, if there is one.
        recipe: Name of the default entry under ``[recipes]``, if there is one.
        layout: Module of ``sodcli.weights.layouts`` that knows the published key names.
        minmax: Whether the published test protocol stretches every map to ``[0, 1]``.
        license: Licence of the published code.
        paper: Where the network comes from.
    """

    name: str
    arch: str
    input_hw: tuple[int, int]
    layout: str
    license: str
    paper: str
    args: Mapping[str, Any] = field(default_factory=dict)
    clip_len: int = 1
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    weights: str | None = None
    recipe: str | None = None
    minmax: bool = False

    def __post_init__(self) -> None:
        for key in ("arch", "layout"):
            if not _MODULE.fullmatch(getattr(self, key)):
                raise RegistryError(f"bad {key} {getattr(self, key)!r}")
        if len(self.input_hw) != 2 or min(self.input_hw) < 1:
            raise RegistryError(f"input_hw must be two sides in pixels, not {self.input_hw}")
        if len(self.mean) != 3 or len(self.std) != 3:
            raise RegistryError("mean and std must have three values")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSpec:
    """One entry under ``[weights]``.

    Attributes:
        name: Key of the entry, as typed after ``--weights``.
        model: The entry under ``[models]`` that it fits.
        file: File name in the cache, or inside the package when ``builtin``.
        size: Size in bytes, if known.
        sha256: Digest of the file, if known.
        page: Where a person finds the file.
        trained_on: Names of the training data.
        license: Licence and terms of the weights.
        partial: Whether it holds the backbone only; then it serves ``train --init`` alone.
        builtin: Whether the file ships inside the package.
    """

    name: str
    model: str
    file: str
    trained_on: str
    license: str
    page: str | None = None
    size: int | None = None
    sha256: str | None = None
    partial: bool = False
    builtin: bool = False

    def __post_init__(self) -> None:
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise RegistryError("sha256 must be 64 lower-case hex digits")
        if Path(self.file).name != self.file:
            raise RegistryError(f"file must be a bare name, not {self.file!r}")
        if self.page is not None and not _HTTPS.fullmatch(self.page):
            raise RegistryError(f"page must be an https address, not {self.page!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSpec:
    """One entry under ``[recipes]``: the settings of a training run, checked by ``training``."""

    name: str
    table: Mapping[str, Any]


class Registry:
    """All entries of one models.toml."""

    def __init__(
        self,
        models: Mapping[str, ModelSpec],
        weights: Mapping[str, WeightsSpec],
        recipes: Mapping[str, RecipeSpec],
    ) -> None:
        self.models, self.weights, self.recipes = dict(models), dict(weights), dict(recipes)
        for entry in self.weights.values():
            if entry.model not in self.models:
                where = f"models.toml [weights.{entry.name}]"
                raise RegistryError(f"{where}: no model named {entry.model!r}")

    @classmethod
    def read(cls, path: Path) -> "Registry":
        """Parse and check ``path``.

        Raises:
            RegistryError: If it is not TOML, or an entry has unknown, missing or wrong keys; the
                message names the entry.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RegistryError(f"{path.name}: {error}") from error
        unknown = raw.keys() - {"models", "weights", "recipes"}
        if unknown:
            raise RegistryError(f"{path.name}: unknown table {sorted(unknown)[0]!r}")
        return cls(
            _entries(raw, "models", ModelSpec),
            _entries(raw, "weights", WeightsSpec),
            _entries(raw, "recipes", lambda name, **table: RecipeSpec(name=name, table=table)),
        )

    def model(self, name: str) -> ModelSpec:
        """Return the model called ``name``.

        Raises:
            UnknownNameError: If there is none; the message suggests the nearest.
        """
        return _find(self.models, "model", name)

    def recipe(self, name: str) -> RecipeSpec:
        """Return the recipe called ``name``.

        Raises:
            UnknownNameError: If there is none; the message suggests the nearest.
        """
        return _find(self.recipes, "recipe", name)


@cache
def default_registry() -> Registry:
    """Return the register that ships with the package, or lies at the top of a checkout."""
    packaged = Path(str(files("sodcli").joinpath("models.toml")))
    return Registry.read(
        packaged if packaged.is_file() else Path(__file__).parents[1] / "models.toml"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of ``known``, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _find(entries: Mapping[str, Spec], kind: str, name: str) -> Spec:
    if name in entries:
        return entries[name]
    known = ", ".join(sorted(entries))
    hint = did_you_mean(name, entries)
    raise UnknownNameError(f"no {kind} named {name!r}.{hint} Known: {known}.")


def _entries(raw: Mapping[str, Any], kind: str, make: Callable[..., Spec]) -> dict[str, Spec]:
    specs = {}
    table = raw.get(kind, {})
    if not isinstance(table, dict) or not all(isinstance(v, dict) for v in table.values()):
        raise RegistryError(f"models.toml: [{kind}] must hold tables")
    for name, entry in table.items():
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
        try:
            specs[name] = make(name=name, **values)
        except (TypeError, RegistryError) as error:
            reason = str(error).removeprefix(f"{getattr(make, '__name__', '')}.__init__() ")
            raise RegistryError(f"models.toml [{kind}.{name}]: {reason}") from error
    return specs
