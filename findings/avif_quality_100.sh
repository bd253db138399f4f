#!/usr/bin/env bash
# Surprise: OpenCV and Pillow both write AVIF with libavif 1.4.2, and quality 100 means something else in each. OpenCV
#   switches to RGB planes (identity matrix) and every pixel comes back exactly, also those under alpha 0. Pillow keeps
#   YCbCr 4:2:0: colours change by several levels, and by two even with subsampling="4:4:4". Alpha is exact in both.
# Packages: opencv-python-headless 5.0.0.93, pillow 13.0.0, numpy 2.4.6
# Guess: 100 is lossless in both, or in neither.
# Seen 2026-11-27: largest change of colour: OpenCV 0, Pillow 6, Pillow 4:4:4 2; of alpha: 0, 0, 0
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import io

import cv2
import numpy as np
from PIL import Image, features

rows, columns = np.mgrid[:64, :64]
alpha = np.clip((columns - 16) * 8, 0, 255)
rgba = np.stack([columns * 4, rows * 4, 255 - columns * 4, alpha], -1).astype(np.uint8)


def changes(data):
    seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).astype(int)
    apart = np.abs(seen - rgba)
    return int(apart[..., :3].max()), int(apart[..., 3].max())


def pillow(**options):
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "AVIF", quality=100, **options)
    return changes(buffer.getvalue())


_, opencv = cv2.imencode(".avif", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_AVIF_QUALITY, 100])
seen = changes(opencv.tobytes()), pillow(), pillow(subsampling="4:4:4")
library = [line.split("ver")[1].strip(" )") for line in cv2.getBuildInformation().splitlines() if "avif (ver" in line]
print("libavif", library, features.version("avif"), "changes of colour and alpha: OpenCV, Pillow, Pillow 4:4:4:", seen)
assert seen[0] == (0, 0)
assert seen[1][0] >= 4 and seen[2][0] >= 1 and seen[1][1] == seen[2][1] == 0
PY
