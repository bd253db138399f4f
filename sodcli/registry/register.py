"""Read models.toml into validated, immutable objects."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sodcli.errors import RegistryError, UnknownNameError, UsageError
from sodcli.registry.specs import (
    ArchiveSpec,
    DatasetSpec,
    MapsSpec,
    ModelSpec,
    RecipeSpec,
    WeightsSpec,
)
from sodcli.tables import read_table
from sodcli.text import did_you_mean

Spec = TypeVar("Spec")


class Registry:
    """All entries of one models.toml.

    Raises:
        RegistryError: If an entry refers to one that does not exist or belongs to another model.
    """

    def __init__(
        self,
        models: Mapping[str, ModelSpec],
        weights: Mapping[str, WeightsSpec],
        recipes: Mapping[str, RecipeSpec],
        datasets: Mapping[str, DatasetSpec],
        archives: Mapping[str, ArchiveSpec] | None = None,
        maps: Mapping[str, MapsSpec] | None = None,
    ) -> None:
        self.models, self.weights = dict(models), dict(weights)
        self.recipes, self.datasets = dict(recipes), dict(datasets)
        self.archives, self.maps = dict(archives or {}), dict(maps or {})
        for entry in self.weights.values():
            if entry.model not in self.models:
                where = f"models.toml [weights.{entry.name}]"
                raise RegistryError(f"{where}: no model named {entry.model!r}")
        for spec in self.models.values():
            self._check_defaults(spec)
        self._check_downloads()

    @classmethod
    def read(cls, path: Path) -> "Registry":
        """Parse and check ``path``.

        Raises:
            RegistryError: If it is not TOML, or an entry has unknown, missing or invalid keys; the
                message names the entry and the key.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RegistryError(f"{path.name}: {error}") from error
        unknown = raw.keys() - {"models", "weights", "recipes", "datasets", "archives", "maps"}
        if unknown:
            raise RegistryError(f"{path.name}: unknown table {min(unknown)!r}")
        return cls(
            _entries(raw, "models", ModelSpec),
            _entries(raw, "weights", WeightsSpec),
            {
                name: RecipeSpec(name=name, table=one)
                for name, one in _tables(raw, "recipes").items()
            },
            _entries(raw, "datasets", DatasetSpec),
            _entries(raw, "archives", ArchiveSpec),
            _entries(raw, "maps", MapsSpec),
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

    def sets_of(self, archive: ArchiveSpec) -> list[DatasetSpec]:
        """Return the data sets that ``archive`` holds."""
        return [one for one in self.datasets.values() if one.archive == archive.name]

    def _check_downloads(self) -> None:
        """Raise RegistryError if an entry refers to a missing archive, model or data set."""
        for one in self.datasets.values():
            if one.archive is not None and one.archive not in self.archives:
                raise RegistryError(
                    f"models.toml [datasets.{one.name}]: no archive named {one.archive!r}"
                )
        for maps in self.maps.values():
            where = f"models.toml [maps.{maps.name}]"
            if maps.model not in self.models:
                raise RegistryError(f"{where}: no model named {maps.model!r}")
            if maps.dataset is not None and maps.dataset not in self.datasets:
                raise RegistryError(f"{where}: no data set named {maps.dataset!r}")

    def _check_defaults(self, spec: ModelSpec) -> None:
        """Raise RegistryError if the default weights or recipe of a model do not exist.

        This runs after parsing, because entries may be anywhere in the file.
        """
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
    """Return the registry in the package, or at the top of a source checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "models.toml"
    return Registry.read(packaged if packaged.is_file() else package.parent / "models.toml")


def _find(entries: Mapping[str, Spec], kind: str, name: str) -> Spec:
    if name in entries:
        return entries[name]
    known = ", ".join(sorted(entries))
    hint = did_you_mean(name, entries)
    raise UnknownNameError(f"no {kind} named {name!r}.{hint} Known: {known}.")


def _entries(raw: Mapping[str, Any], section: str, kind: type[Spec]) -> dict[str, Spec]:
    specs = {}
    for name, table in _tables(raw, section).items():
        try:
            specs[name] = read_table(kind, table, name=name)
        except UsageError as error:
            raise RegistryError(f"models.toml [{section}.{name}]: {error}") from error
    return specs


def _tables(raw: Mapping[str, Any], section: str) -> Mapping[str, Mapping[str, Any]]:
    tables = raw.get(section, {})
    if not isinstance(tables, dict) or not all(isinstance(v, dict) for v in tables.values()):
        raise RegistryError(f"models.toml: [{section}] must hold tables")
    return tables
