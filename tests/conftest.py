"""What all tests share: the development data, if it is there, and weights made by a rule."""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from sodcli.registry import default_registry

DATA = Path(__file__).parent / "data"
SHARED = Path(os.environ.get("SOD_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path_factory, monkeypatch):
    """Keep every test away from the user's cache and settings."""
    monkeypatch.setenv("SOD_HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("SOD_DEVICE", "SOD_OFFLINE", "SOD_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _quiet_machine():
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def registry():
    return default_registry()


@pytest.fixture(scope="session")
def shared_data():
    """The photos, films and published weights, which are never part of the repository."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the development data is not on this machine")
    return SHARED / "data"


def rule_weights(entries, seed=0):
    """Fill ``[key, shape, ...]`` entries by the rule of the stored goldens."""
    return {entry[0]: _rule(entry[0], entry[1], seed) for entry in entries}


def _rule(key, shape, seed):
    rng = np.random.default_rng(zlib.crc32(f"{seed}:{key}".encode()))
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_var"):
        values = 0.5 + rng.random(shape)
    elif key.endswith("running_mean"):
        values = 0.1 * rng.standard_normal(shape)
    elif len(shape) <= 1 and key.endswith("weight"):
        values = 0.5 + rng.random(shape)
    elif len(shape) <= 1:
        values = 0.1 * rng.standard_normal(shape)
    else:
        values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, np.float32))


def rule_input(shape, seed=0, base=1000):
    values = np.random.default_rng(base + seed).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


def manifest(name):
    return json.loads((DATA / name).read_text())


@pytest.fixture
def small_weights(tmp_path):
    """A published-layout file of SDNet, filled by the rule."""
    path = tmp_path / "sdnet.pth"
    entries = manifest("stdnet/manifest_sdnet.json")["training"]
    torch.save({f"module.{k}": v for k, v in rule_weights(entries).items()}, path)
    return path
