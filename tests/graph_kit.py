"""The installed engines, for tests of graphs."""

import pytest

from sodcli.runtime.backends.choose import installed
from sodcli.runtime.backends.engines import make_engine

ENGINES = ("onnx", "openvino")


def engine(name, threads=1, **settings):
    """Return the engine called ``name``; skip the test if it is not installed."""
    if not installed(name):
        pytest.skip(f"the extra [{name}] is not installed")
    return make_engine(name, threads, **settings)
