#!/usr/bin/env bash
# Surprise: the S-measure of a map changes when map and ground truth are both mirrored. It cuts the picture in four at
#   the rounded centre of the object, and the row and column of the centre always go to the upper left part. On small
#   objects, which lie in few pixels of each part, that moves the score by a tenth or more. That is the published definition,
#   not a fault of the package.
# Packages: pysodmetrics 1.6.2
# Guess: no change, as for MAE and F-measure.
# Seen 2026-11-27: 0.8692 as it is, 0.9478 mirrored left to right, 0.7392 upside down; MAE 0.005 each time
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check pysodmetrics==1.6.2
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from py_sod_metrics import MAE, Smeasure

truth = np.zeros((20, 20), np.uint8)
truth[5:7, 5:7] = 255
found = truth.copy()
found[5:7, 7] = 255  # one column too wide


def scores(turn):
    both = turn(found).copy(), turn(truth).copy()
    structure, error = Smeasure(), MAE()
    structure.step(*both)
    error.step(*both)
    return round(float(structure.get_results()["sm"]), 4), round(float(error.get_results()["mae"]), 4)


seen = [scores(turn) for turn in (lambda picture: picture, np.fliplr, np.flipud)]
print("S-measure and MAE as it is, left to right, upside down:", seen)
assert seen == [(0.8692, 0.005), (0.9478, 0.005), (0.7392, 0.005)]
PY
