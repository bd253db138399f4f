#!/usr/bin/env bash
# Surprise: the E-measure of a map that equals its ground truth is above 1, by an amount that depends on the size of the
#   picture: the sum over N pixels is divided by N - 1, as in the authors' code. Scores of thumbnails are therefore higher than
#   those of the same maps at full size, and a table that clips or asserts at 1 hides or refuses perfect maps. That is the
#   published code, not a fault of the package.
# Packages: pysodmetrics 1.6.2
# Guess: 1 at every size, as for S-measure and F-measure.
# Seen 2026-11-27: 1.06667 at 4x4, 1.0101 at 10x10, 1.0001 at 100x100; S-measure 1.0 each time
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check pysodmetrics==1.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from py_sod_metrics import Emeasure, Smeasure

seen = []
for side in (4, 10, 100):
    truth = np.zeros((side, side), np.uint8)
    truth[: side // 2] = 255
    alignment, structure = Emeasure(), Smeasure()
    alignment.step(truth.copy(), truth)
    structure.step(truth.copy(), truth)
    e, s = alignment.get_results()["em"]["adp"], structure.get_results()["sm"]
    seen.append((side, round(float(e), 5), round(float(s), 5)))
print("side, E-measure and S-measure of a perfect map:", seen)
assert seen == [(4, 1.06667, 1.0), (10, 1.0101, 1.0), (100, 1.0001, 1.0)]
PY
