"""The entries of models.toml as validated, immutable objects."""

from sodcli.registry.register import Registry, default_registry
from sodcli.registry.specs import (
    DEFAULT_MODEL,
    ArchiveSpec,
    DatasetSpec,
    HighRes,
    MapsSpec,
    ModelSpec,
    RecipeSpec,
    WeightsSpec,
    plain_name,
)

__all__ = [
    "DEFAULT_MODEL",
    "ArchiveSpec",
    "DatasetSpec",
    "HighRes",
    "MapsSpec",
    "ModelSpec",
    "RecipeSpec",
    "Registry",
    "WeightsSpec",
    "default_registry",
    "plain_name",
]
