#!/usr/bin/env bash
# Surprise: ONNX Runtime merges a Pad with the convolution that follows only if the Pad has two inputs, or its third one (the
#   value) is a constant. An empty third input means the same zero, and it is what PyTorch 2.14's TorchScript exporter writes
#   for torch.nn.functional.pad(x, pads) without value=0.0. The Pad then stays and takes its picture out of the blocked layout
#   and back: three passes over memory before each strided "SAME" convolution of TensorFlow's networks. In our network on
#   EfficientNet-Lite0 they took 15 % of the time at 352 px.
# Packages: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6
# Guess: an optional input that is left out behaves the same whether it is absent or empty.
# Seen 2026-11-27: absent: Conv Conv ReorderOutput; zero: Conv Conv ReorderOutput;
#   empty: Conv ReorderOutput Pad ReorderInput Conv ReorderOutput; the results are equal
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" -W ignore - "$work/optimised.onnx" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)
constants = {
    "first": rng.standard_normal((32, 3, 3, 3)).astype(np.float32),
    "second": rng.standard_normal((32, 1, 3, 3)).astype(np.float32),
    "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1]),
    "nought": np.float32(0),
}
picture = rng.standard_normal((1, 3, 64, 64)).astype(np.float32)
kept, answers = {}, []
for name, value in (("absent", []), ("zero", ["nought"]), ("empty", [""])):
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Pad", ["b", "pads", *value], ["c"]),
        helper.make_node("Conv", ["c", "second"], ["y"], group=32, strides=[2, 2]),
    ]
    body = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, picture.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32, 32, 32])],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = sys.argv[1], 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    answers.append(session.run(None, {"x": picture})[0])
    kept[name] = [node.op_type for node in onnx.load(sys.argv[1]).graph.node]
    print(name, *kept[name])
assert np.allclose(answers[0], answers[1]) and np.allclose(answers[0], answers[2])
assert "Pad" not in kept["absent"] and "Pad" not in kept["zero"] and "Pad" in kept["empty"]
PY
