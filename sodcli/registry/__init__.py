"""The register: models.toml as frozen, checked values."""

from sodcli.registry.datasets import DatasetSpec, plain_name
from sodcli.registry.models import HighRes, ModelSpec, RecipeSpec
from sodcli.registry.register import Registry, default_registry
from sodcli.registry.weights import WeightsSpec

__all__ = [
    "DatasetSpec",
    "HighRes",
    "ModelSpec",
    "RecipeSpec",
    "Registry",
    "WeightsSpec",
    "default_registry",
    "plain_name",
]
