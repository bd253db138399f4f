"""models.toml as frozen, checked values."""

from sodcli.registry.register import Registry, default_registry
from sodcli.registry.specs import (
    DEFAULT_MODEL,
    DatasetSpec,
    HighRes,
    ModelSpec,
    RecipeSpec,
    WeightsSpec,
    plain_name,
)

__all__ = [
    "DEFAULT_MODEL",
    "DatasetSpec",
    "HighRes",
    "ModelSpec",
    "RecipeSpec",
    "Registry",
    "WeightsSpec",
    "default_registry",
    "plain_name",
]
