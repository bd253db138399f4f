"""What the tests of graphs share: the engines, as far as they are installed."""

import pytest

from sodcli.runtime.backends.choose import installed
from sodcli.runtime.backends.engines import make_engine

ENGINES = ("onnx", "openvino")


def engine(name, threads=1, **settings):
    """Return the engine of that name; skips where it is not installed."""
    if not installed(name):
        pytest.skip(f"the extra [{name}] is not installed")
    return make_engine(name, threads, **settings)
