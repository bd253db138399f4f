"""Change the constants, precision and metadata of ONNX graphs."""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from sodcli.errors import SourceError, UsageError
from sodcli.io.sources import find_inputs, read_input
from sodcli.registry import ModelSpec
from sodcli.runtime.backends import Array
from sodcli.runtime.predictor import prepared

_MIN_VALUES: Final = 64  # smaller constants are not worth an extra Cast node
_PACKAGES: Final = ("onnx", "onnxruntime")
_CALIBRATION_PHOTOS: Final = 100  # more photos change little


def require_packages() -> None:
    """Check that the packages that make and check ONNX files are installed.

    Raises:
        UsageError: If one is missing.
    """
    for name in _PACKAGES:
        if find_spec(name) is None:
            raise UsageError(f"{name} is not installed; run: pip install {name}")


def annotate(data: bytes, about: Mapping[str, str]) -> bytes:
    """Return an ONNX file with ``about`` as metadata and its logits declared as one channel."""
    import onnx

    model = onnx.load_from_string(data)
    output = model.graph.output[0]
    if output.name == "logits":
        channels = output.type.tensor_type.shape.dim[-3]
        channels.dim_value = 1  # the exporter cannot infer it through a resize
    onnx.helper.set_model_props(model, dict(about))
    return bytes(model.SerializeToString())


def compact(data: bytes) -> bytes:
    """Return the graph with each constant stored in float16 if that is lossless.

    The graph computes with exactly the same float32 values as before.
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
        if values.size < _MIN_VALUES or not np.array_equal(half.astype(np.float32), values):
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def fold_constants(data: bytes) -> bytes:
    """Return a graph of fixed shape with all that depends on shapes only computed beforehand.

    ONNX Runtime's basic optimisations do it; they use standard operators only.
    """
    import onnx
    import onnxruntime

    before = onnx.load_from_string(data)
    with tempfile.TemporaryDirectory(prefix="sod-static-") as folder:
        path = Path(folder, "static.onnx")
        options = onnxruntime.SessionOptions()
        level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.graph_optimization_level, options.optimized_model_filepath = level, str(path)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        model = onnx.load(path)
    model.ir_version = before.ir_version  # older readers refuse the current one
    del model.opset_import[:]  # ONNX Runtime lists all its own operator sets
    model.opset_import.extend(before.opset_import)
    return bytes(model.SerializeToString())


def to_half(data: bytes) -> bytes:
    """Return the graph computing in float16; its input and output stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model: Any = convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True)
    return bytes(model.SerializeToString())


def calibration_pictures(folder: Path, spec: ModelSpec, side: int) -> list[Array]:
    """Return the network's input for up to 100 photos, evenly spaced among those in a folder.

    Returns:
        ``(1, 3, side, side)`` float32 each, normalised with the mean and deviation of ``spec``.

    Raises:
        SourceError: If the folder contains no pictures, or a picture cannot be read.
    """
    photos = [one for one in find_inputs([str(folder)], recursive=True) if one.kind == "picture"]
    if not photos:
        raise SourceError(f"{folder}: no pictures")
    chosen = photos[:: -(-len(photos) // _CALIBRATION_PHOTOS)]
    return [prepared(read_input(one), spec, (side, side))[None] for one in chosen]


def to_int8(data: bytes, pictures: Sequence[Array]) -> bytes:
    """Return the graph with 8-bit integer convolutions; its input and output stay float32.

    Weights are quantised per channel; activation ranges are the minimum and maximum over
    ``pictures``.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="sod-int8-") as folder, _no_warnings():
        plain, fused, small = (Path(folder, f"{n}.onnx") for n in ("plain", "fused", "int8"))
        plain.write_bytes(data)
        quant_pre_process(plain, fused, skip_symbolic_shape=True)  # it fails on dynamic sizes
        quantize_static(
            fused,
            small,
            _reader(pictures),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return small.read_bytes()


def _reader(pictures: Sequence[Array]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._pictures = iter(pictures)

        def get_next(self) -> dict[str, Array] | None:
            x = next(self._pictures, None)
            return None if x is None else {"x": x}

    return Reader()


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Suppress the warnings of ONNX Runtime's quantiser, which do not concern users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
