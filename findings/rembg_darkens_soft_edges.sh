#!/usr/bin/env bash
# Surprise: rembg's default cutout multiplies the colour of soft pixels by their alpha and then stores it as
#   straight alpha. Whatever composes the PNG multiplies by alpha again, so soft edges come out darker than the photo.
#   Only remove(..., putalpha=True) keeps the colour as it was.
# Packages: rembg 2.0.86 (onnxruntime 1.32.0, a network of four operators made here)
# Guess: a grey pixel of 105 with mask 127 becomes (105, 105, 105, 127).
# Seen 2026-11-27: default [52, 52, 52, 127], putalpha [105, 105, 105, 127]
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

path = os.path.abspath("home/models/ramp.onnx")
graph = helper.make_graph(
    [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
        helper.make_node("Sigmoid", ["mean"], ["y"]),
    ],
    "ramp",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 320, 320])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 320, 320])],
    [numpy_helper.from_array(np.array([1], np.int64), "axes")],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
session = new_session("u2net_custom", model_path=path)

row = np.linspace(40, 200, 320).astype(np.uint8)
photo = Image.fromarray(np.tile(row[None, :, None], (320, 1, 3)))
mask = np.asarray(remove(photo, session=session, only_mask=True))[100]
column = int(np.argmin(np.abs(mask.astype(int) - 127)))
grey, alpha = int(row[column]), int(mask[column])
default = np.asarray(remove(photo, session=session))[100, column].tolist()
kept = np.asarray(remove(photo, session=session, putalpha=True))[100, column].tolist()
print("photo", grey, "mask", alpha, "default", default, "putalpha", kept)
assert 100 <= alpha <= 150
assert kept == [grey] * 3 + [alpha]
darkened = round(grey * alpha / 255)
assert default == [darkened] * 3 + [alpha], default
PY
