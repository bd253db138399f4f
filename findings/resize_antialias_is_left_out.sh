#!/usr/bin/env bash
# Surprise: ONNX has Resize with antialias=1 since opset 18. ONNX Runtime does it; OpenVINO and OpenCV's dnn module load
#   the same graph without a word and leave the antialiasing out. A fine chessboard made seven times smaller should
#   turn even grey and turns into aliased values instead.
# Packages: onnxruntime 1.32.0, openvino 2026.4.1, opencv-python-headless 5.0.0.93
# Guess: all three give 0.5, or the ones that cannot do it say so when they load the graph.
# Seen 2026-11-27: cubic: onnxruntime 0.500..0.500, openvino 0.137..0.863, opencv 0.137..0.863 (both give to
#   1e-6 what they give for antialias=0)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 openvino==2026.4.1 \
  opencv-python-headless==5.0.0.93 onnx==1.23.2
"$work/venv/bin/python" -W ignore - <<'PY'
import cv2
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

SIDE, SMALL = 66, 9  # 7.33 times smaller: samples fall between the pixels
board = (np.indices((SIDE, SIDE)).sum(0) % 2).astype(np.float32)[None, None]


def graph(antialias):
    node = helper.make_node(
        "Resize", ["x", "", "", "size"], ["y"], mode="cubic", antialias=antialias,
        coordinate_transformation_mode="half_pixel",
    )
    body = helper.make_graph(
        [node], "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, SMALL, SMALL])],
        [numpy_helper.from_array(np.array([1, 1, SMALL, SMALL], np.int64), "size")],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 19)], ir_version=9).SerializeToString()


def by_onnxruntime(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": board})[0]


def by_openvino(model):
    core = openvino.Core()
    return core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([board])[0]


def by_opencv(model):
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    net.setInput(board)
    return net.forward()


for engine in (by_onnxruntime, by_openvino, by_opencv):
    plain, smooth = engine(graph(0)), engine(graph(1))
    inner = smooth[0, 0, 1:-1, 1:-1]
    print(engine.__name__, f"antialias=1 {inner.min():.3f}..{inner.max():.3f}",
          f"change by antialias {np.abs(plain - smooth).max():.6f}")
    if engine is by_onnxruntime:
        assert np.abs(inner - 0.5).max() < 0.02 and np.abs(plain - smooth).max() > 0.1
    else:
        assert np.abs(plain - smooth).max() < 1e-6 and np.abs(inner - 0.5).max() > 0.1
PY
