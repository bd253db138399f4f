"""What is done to a graph once it is written: smaller, in half precision, with words about it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from sodcli.errors import UsageError
from sodcli.files import write_whole

_FEW: Final = 64  # values that are not worth a node
_PACKAGES: Final = ("onnx", "onnxruntime")


def require_packages() -> None:
    """Demand what making and checking of ONNX files takes.

    Raises:
        UsageError: If a package is missing.
    """
    from importlib.util import find_spec

    for name in _PACKAGES:
        if find_spec(name) is None:
            raise UsageError(f"{name} is not installed; run: pip install 'sodcli[onnx]'")


def put_graph(path: Path, data: bytes) -> None:
    """Write an ONNX file so that it appears whole, or not at all.

    Raises:
        SinkError: If it cannot be written.
    """
    write_whole(path, data)


def annotate(data: bytes, about: Mapping[str, str]) -> bytes:
    """Return an ONNX file with ``about`` as its metadata, and its one map per picture told."""
    import onnx

    model = onnx.load_from_string(data)
    channels = model.graph.output[0].type.tensor_type.shape.dim[-3]
    channels.dim_value = 1  # which the exporter does not see behind a resize
    onnx.helper.set_model_props(model, dict(about))
    return bytes(model.SerializeToString())


def metadata_of(data: bytes) -> dict[str, str]:
    """Return what an ONNX file says of itself."""
    import onnx

    return {one.key: one.value for one in onnx.load_from_string(data).metadata_props}


def compact(data: bytes) -> bytes:
    """Return the same graph with every constant in half precision that loses nothing by it.

    The numbers that it computes with stay float32, bit for bit.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(data)
    casts = []
    for constant in model.graph.initializer:
        if constant.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(constant)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size < _FEW or not np.array_equal(half.astype(np.float32), values):
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def to_half(data: bytes) -> bytes:
    """Return the graph computing in float16; what goes in and comes out stays float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model: Any = convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True)
    return bytes(model.SerializeToString())
