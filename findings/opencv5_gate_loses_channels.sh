#!/usr/bin/env bash
# Surprise: OpenCV 5's dnn module computes convolutions on blocks of 8 channels. Where a feature map is multiplied by a
#   one-channel gate made from it (the spatial attention of CBAM and of many light networks), it multiplies block by
#   block: only the first channel of each block meets the gate, the seven others become 0, and the output keeps the
#   layout, with five axes. A convolution behind the gate fails an assertion. The default engine (ENGINE_AUTO) does not
#   fall back to the classic one, which computes both graphs right.
# Packages: opencv-python-headless 5.0.0.93, onnxruntime 1.32.0, onnx 1.23.2
# Guess: (1, 12, 6, 7) with the numbers that ONNX Runtime gives; or an error when the graph is read.
# Seen 2026-11-27: (1, 2, 6, 7, 8), channels 0 and 8 right, all others 0; with a convolution behind the gate
#   "Assertion failed ... wshape.dims == nspatialdims + 2"; ENGINE_CLASSIC is equal to ONNX Runtime to 1e-6
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 onnxruntime==1.32.0 onnx==1.23.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import cv2
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)
x = rng.standard_normal((1, 12, 6, 7)).astype(np.float32)
kernels = [numpy_helper.from_array(rng.standard_normal((out, 12, 1, 1)).astype(np.float32) / 4, name)
           for name, out in (("body", 12), ("gate", 1), ("head", 3))]


def write(path, head):
    nodes = [
        helper.make_node("Conv", ["x", "body"], ["features"]),
        helper.make_node("Conv", ["features", "gate"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["weight"]),
        helper.make_node("Mul", ["features", "weight"], ["gated" if head else "y"]),
    ]
    if head:
        nodes.append(helper.make_node("Conv", ["gated", "head"], ["y"]))
    body = helper.make_graph(
        nodes, "gate",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3 if head else 12, 6, 7])],
        kernels[: 3 if head else 2],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


def by_opencv(path, *engine):
    net = cv2.dnn.readNetFromONNX(path, *engine)
    net.setInput(x)
    return net.forward()


for head in (False, True):
    write("net.onnx", head)
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    (right,) = session.run(None, {"x": x})
    assert np.abs(by_opencv("net.onnx", cv2.dnn.ENGINE_CLASSIC) - right).max() < 1e-5
    try:
        found = by_opencv("net.onnx")
    except cv2.error as error:
        print("with a convolution behind the gate:", str(error).strip().splitlines()[0])
        assert head
        continue
    print("gate alone:", found.shape, "instead of", right.shape)
    assert not head and found.ndim == 5
    block = found.shape[-1]
    found = found.transpose(0, 1, 4, 2, 3).reshape(1, -1, 6, 7)[:, :12]
    kept = np.arange(12) % block == 0
    print(f"in blocks of {block}: channels {np.flatnonzero(kept)} right, largest other value",
          np.abs(found[:, ~kept]).max())
    assert np.abs(found[:, kept] - right[:, kept]).max() < 1e-5
    assert np.abs(found[:, ~kept]).max() == 0 < np.abs(right[:, ~kept]).max()
PY
