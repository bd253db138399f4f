"""Fixtures of all tests: development data, if present, and generated weights."""

import gc
import itertools
import json
import os
import shutil
import signal
import threading
import zlib
from pathlib import Path

# Set before torch and OpenCV are imported: a test process uses one core, since most pictures of
# tests are so small that further threads only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
# Test workers and background jobs of a shell ignore SIGINT, and child processes inherit that; tests
# interrupt children.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
import torch
from hypothesis import settings
from typer.testing import CliRunner

from sodcli.cli.app import app
from sodcli.registry import default_registry
from sodcli.runtime.device import thread_count

DATA = Path(__file__).parent / "data"
SLOW_FOLDERS = {"e2e", "numeric", "torture"}
SHARED = Path(os.environ.get("SOD_SHARED", Path(__file__).parents[2] / "shared"))


def pytest_configure(config):
    """Reduce the examples of hypothesis if the slow tests are deselected."""
    settings.register_profile("all", deadline=None)  # the machine may be busy
    settings.register_profile("fast", deadline=None, max_examples=10)
    settings.load_profile("fast" if "not slow" in config.option.markexpr else "all")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Let ``-n auto`` start two workers more than there are cores: tests wait for processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS")  # it is for one process
        return thread_count() + 2


def pytest_ignore_collect(collection_path, config):
    """Import no module of the slow folders if the slow tests are deselected."""
    if collection_path.name in SLOW_FOLDERS and "not slow" in config.option.markexpr:
        return True


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """Mark all tests of the slow folders as slow."""
    for item in items:
        if SLOW_FOLDERS & set(item.path.relative_to(DATA.parent).parts):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the garbage collector from what the test modules import, which stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def _homes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _home_of_its_own(_homes, monkeypatch):
    """Isolate every test from the user's cache and settings."""
    home = next(_homes)  # not by mktemp for each test, which lists all temporary folders
    monkeypatch.setenv("SOD_HOME", str(home))
    for name in ("SOD_DEVICE", "SOD_OFFLINE", "SOD_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    # It holds for the whole process; tests of memory come later in the same one.
    monkeypatch.setattr("sodcli.runtime.device.keep_freed_memory", lambda: None)
    yield
    for thread in threading.enumerate():  # a graph opened ahead, which the test did not need
        if thread.name.startswith("graph_"):
            thread.join()  # or it writes to the home of the next test
    shutil.rmtree(home, ignore_errors=True)  # weights and graphs: all together fill a small disk


@pytest.fixture(scope="session")
def registry():
    return default_registry()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of photos, films and published weights, which are not in the repository."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the development data is not on this machine")
    return SHARED / "data"


def rule_weights(entries, seed=0):
    """Generate tensors for ``[key, shape, ...]`` entries by the rule of the stored goldens."""
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
        values = rng.standard_normal(shape)
        values /= np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, np.float32))


def rule_input(shape, seed=0, base=1000):
    values = np.random.default_rng(base + seed).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


def manifest(name):
    return json.loads((DATA / name).read_text())


@pytest.fixture(scope="session")
def _small_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "sdnet.pth"
    entries = manifest("stdnet/manifest_sdnet.json")["training"]
    torch.save({f"module.{k}": v for k, v in rule_weights(entries).items()}, path)
    return path


@pytest.fixture
def small_weights(tmp_path, _small_weights):
    """An SDNet file in the published layout with generated weights."""
    return Path(shutil.copyfile(_small_weights, tmp_path / "sdnet.pth"))


@pytest.fixture
def sod():
    """Return a function that runs the program in this process; see ``CliRunner.invoke``."""

    def run(*words, stdin=None):
        return CliRunner().invoke(app, [str(word) for word in words], input=stdin)

    return run


def rare(*cases):
    """Return cases of a parametrised test that run with the slow tests only.

    The cases without it cover the same code; each case of ``cases`` is a tuple or a single value.
    """
    tuples = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*values, marks=pytest.mark.slow) for values in tuples]
