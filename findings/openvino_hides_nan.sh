#!/usr/bin/env bash
# Surprise: in OpenVINO on a CPU, Relu and Clip turn NaN into 0 and HardSigmoid turns NaN into 1. A network that
#   overflows somewhere gives a clean black or a clean white map, with nothing to notice it by. In ONNX Runtime the same
#   graphs give NaN.
# Packages: openvino 2026.4.1, onnxruntime 1.32.0, numpy 2.4.6
# Guess: NaN comes out as NaN, as IEEE arithmetic, PyTorch and ONNX Runtime have it.
# Seen 2026-11-27: Relu 0.0 instead of nan, Clip 0.0 instead of nan, HardSigmoid 1.0 instead of nan
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

core = openvino.Core()
values = np.full((1, 32), 0.25, np.float32)
values[0, 5] = np.nan
limits = [numpy_helper.from_array(np.float32(0), "low"), numpy_helper.from_array(np.float32(1), "high")]
for name, inputs, limits_used, wrong in (
    ("Relu", ["x"], [], 0.0),
    ("Clip", ["x", "low", "high"], limits, 0.0),
    ("HardSigmoid", ["x"], [], 1.0),
):
    body = helper.make_graph(
        [helper.make_node(name, inputs, ["y"])], name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32])],
        limits_used,
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 19)], ir_version=9).SerializeToString()
    ort = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": values})[0]
    vino = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([values])[0]
    print(f"{name}: openvino {vino[0, 5]} instead of {ort[0, 5]}")
    assert np.isnan(ort[0, 5]) and vino[0, 5] == wrong
    assert np.allclose(np.delete(ort, 5), np.delete(vino, 5))
PY
