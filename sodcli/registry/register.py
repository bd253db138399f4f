"""Read models.toml into frozen, checked values."""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from sodcli.errors import RegistryError, UnknownNameError
from sodcli.registry.check import check_table
from sodcli.registry.datasets import DatasetSpec
from sodcli.registry.models import ModelSpec, RecipeSpec
from sodcli.registry.weights import WeightsSpec
from sodcli.text import did_you_mean

Spec = TypeVar("Spec")


class Registry:
    """All entries of one models.toml.

    Raises:
        RegistryError: If an entry names another one that is not there, or is of another model.
    """

    def __init__(
        self,
        models: Mapping[str, ModelSpec],
        weights: Mapping[str, WeightsSpec],
        recipes: Mapping[str, RecipeSpec],
        datasets: Mapping[str, DatasetSpec],
    ) -> None:
        self.models, self.weights = dict(models), dict(weights)
        self.recipes, self.datasets = dict(recipes), dict(datasets)
        for entry in self.weights.values():
            if entry.model not in self.models:
                where = f"models.toml [weights.{entry.name}]"
                raise RegistryError(f"{where}: no model named {entry.model!r}")
        for spec in self.models.values():
            self._check_defaults(spec)

    @classmethod
    def read(cls, path: Path) -> "Registry":
        """Parse and check ``path``.

        Raises:
            RegistryError: If it is not TOML, or an entry has unknown, missing or wrong keys; the
                message names the entry and the key.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RegistryError(f"{path.name}: {error}") from error
        unknown = raw.keys() - {"models", "weights", "recipes", "datasets"}
        if unknown:
            raise RegistryError(f"{path.name}: unknown table {sorted(unknown)[0]!r}")
        return cls(
            _entries(raw, "models", ModelSpec),
            _entries(raw, "weights", WeightsSpec),
            {name: RecipeSpec(name=name, table=one) for name, one in _tables(raw, "recipes")},
            _entries(raw, "datasets", DatasetSpec),
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

    def _check_defaults(self, spec: ModelSpec) -> None:
        """Refuse defaults of a model that are not there; they may stand anywhere in the file."""
        where = f"models.toml [models.{spec.name}]"
        if spec.weights is not None:
            entry = self.weights.get(spec.weights)
            if entry is None:
                hint = did_you_mean(spec.weights, self.weights)
                raise RegistryError(f"{where}: weights: no weights named {spec.weights!r}.{hint}")
            if entry.model != spec.name:
                raise RegistryError(f"{where}: weights: {entry.name!r} are of {entry.model!r}")
        if spec.recipe is not None and spec.recipe not in self.recipes:
            hint = did_you_mean(spec.recipe, self.recipes)
            raise RegistryError(f"{where}: recipe: no recipe named {spec.recipe!r}.{hint}")


@cache
def default_registry() -> Registry:
    """Return the register that ships with the package, or lies at the top of a checkout."""
    packaged = Path(str(files("sodcli").joinpath("models.toml")))
    return Registry.read(
        packaged if packaged.is_file() else Path(__file__).parents[2] / "models.toml"
    )


def _find(entries: Mapping[str, Spec], kind: str, name: str) -> Spec:
    if name in entries:
        return entries[name]
    known = ", ".join(sorted(entries))
    hint = did_you_mean(name, entries)
    raise UnknownNameError(f"no {kind} named {name!r}.{hint} Known: {known}.")


def _entries(raw: Mapping[str, Any], kind: str, entry: Callable[..., Spec]) -> dict[str, Spec]:
    specs = {}
    for name, table in _tables(raw, kind):
        try:
            check_table(entry, table)
            specs[name] = entry(name=name, **table)
        except RegistryError as error:
            raise RegistryError(f"models.toml [{kind}.{name}]: {error}") from error
    return specs


def _tables(raw: Mapping[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries under ``[kind]`` by name, the lists in them as tuples."""
    tables = raw.get(kind, {})
    if not isinstance(tables, dict) or not all(isinstance(v, dict) for v in tables.values()):
        raise RegistryError(f"models.toml: [{kind}] must hold tables")
    return [
        (name, {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()})
        for name, table in tables.items()
    ]
