"""What the tests of graphs share: the engines, as far as they are installed."""

import pytest

from sodcli.runtime.backends.choose import installed

ENGINES = ("onnx", "openvino")


def engine(name, threads=1, **settings):
    """Return the engine of that name; skips where it is not installed."""
    if not installed(name):
        pytest.skip(f"the extra [{name}] is not installed")
    if name == "onnx":
        from sodcli.runtime.backends import onnx_backend

        return onnx_backend.engine(threads)
    from sodcli.runtime.backends import openvino_backend

    return openvino_backend.engine(threads, half=settings.get("half", False))
