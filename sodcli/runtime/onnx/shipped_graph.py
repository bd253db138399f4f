"""The graph of the built-in weights, which ships beside them so that no PyTorch is needed.

After new weights: ``python -m sodcli.runtime.onnx.shipped_graph``. A test says when it
was forgotten.
"""

from pathlib import Path

from sodcli.registry import default_registry
from sodcli.runtime.model_source import DEFAULT_MODEL
from sodcli.runtime.onnx.export import Order, export_file
from sodcli.weights import cache


def remake() -> Path:
    """Write the graph of the built-in weights beside them; return where.

    Raises:
        SodError: As of :func:`sodcli.runtime.onnx.export.export_file`.
    """
    registry = default_registry()
    entry = registry.weights[registry.models[DEFAULT_MODEL].weights or ""]
    target = cache.stored(entry).with_suffix(".onnx")
    export_file(Order(DEFAULT_MODEL, target, tol=1e-4), registry)
    return target


if __name__ == "__main__":
    remake()
