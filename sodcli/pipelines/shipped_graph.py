"""The graph of the built-in weights, which ships beside them so that no PyTorch is needed.

After new weights: ``python -m sodcli.pipelines.shipped_graph``. A test says when it was forgotten.
"""

from pathlib import Path

from sodcli.pipelines.blueprint import DEFAULT_MODEL
from sodcli.pipelines.export_file import Order, export_file
from sodcli.registry import default_registry
from sodcli.weights import cache


def remake() -> Path:
    """Write the graph of the built-in weights beside them; return where.

    Raises:
        SodError: As of :func:`sodcli.pipelines.export_file.export_file`.
    """
    registry = default_registry()
    entry = registry.weights[registry.models[DEFAULT_MODEL].weights or ""]
    target = cache.stored(entry).with_suffix(".onnx")
    export_file(Order(DEFAULT_MODEL, target, tol=1e-4), registry)
    return target


if __name__ == "__main__":
    remake()
