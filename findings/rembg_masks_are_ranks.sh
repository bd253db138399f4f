#!/usr/bin/env bash
# Surprise: rembg stretches each mask to its own minimum and maximum, so the mask ranks pixels and says nothing about
#   how sure the network is. A network that gives no pixel more than 0.0005 yields a mask with full white in it, and one
#   that is 95 % sure of every pixel yields a mask of zeros (0 divided by 0, cast to bytes).
# Packages: rembg 2.0.86 (onnxruntime 1.32.0, a network of five operators made here)
# Guess: the masks reach 0 and 242, as the network says.
# Seen 2026-11-27: saliency at most 0.00042: mask 0..255; saliency 0.953 everywhere: mask 0..0
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check rembg==2.0.86 onnxruntime==1.32.0 onnx==1.23.2
cd "$work"; mkdir -p home/models
export REMBG_HOME="$work/home" NUMBA_DISABLE_JIT=1
"$work/venv/bin/python" -W ignore - <<'PY'
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rembg import new_session, remove


class Watched:
    """Remember the largest and smallest value that the network gives."""

    def __init__(self, inner):
        self.inner, self.low, self.high = inner, None, None

    def get_inputs(self):
        return self.inner.get_inputs()

    def run(self, *arguments):
        answer = self.inner.run(*arguments)
        self.low, self.high = float(answer[0].min()), float(answer[0].max())
        return answer


def network(name, weight, bias):
    """sigmoid(weight * mean colour + bias)"""
    path = os.path.abspath(f"home/models/{name}.onnx")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
            helper.make_node("Mul", ["mean", "weight"], ["scaled"]),
            helper.make_node("Add", ["scaled", "bias"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["y"]),
        ],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 320, 320])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 320, 320])],
        [
            numpy_helper.from_array(np.array([1], np.int64), "axes"),
            numpy_helper.from_array(np.float32(weight), "weight"),
            numpy_helper.from_array(np.float32(bias), "bias"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    session = new_session("u2net_custom", model_path=path)
    session.inner_session = Watched(session.inner_session)
    return session


photo = Image.fromarray(np.tile(np.linspace(40, 200, 320).astype(np.uint8)[None, :, None], (320, 1, 3)))
unsure, sure = network("unsure", 0.5, -9.0), network("sure", 0.0, 3.0)
empty = np.asarray(remove(photo, session=unsure, only_mask=True))
full = np.asarray(remove(photo, session=sure, only_mask=True))
print(f"saliency at most {unsure.inner_session.high:.5f}: mask {empty.min()}..{empty.max()}")
print(f"saliency {sure.inner_session.low:.3f} everywhere: mask {full.min()}..{full.max()}")
assert unsure.inner_session.high < 0.0005 and (empty.min(), empty.max()) == (0, 255)
assert sure.inner_session.low == sure.inner_session.high > 0.95 and (full.min(), full.max()) == (0, 0)
PY
