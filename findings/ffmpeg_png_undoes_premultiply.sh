#!/usr/bin/env bash
# Surprise: ffmpeg now marks frames as straight or premultiplied, and PNG accepts straight ones only: after
#   `-vf premultiply` it inserts, for PNG and APNG alone, a filter that takes the premultiplication back. The same
#   command writes premultiplied colours into TIFF and straight ones into PNG, and PNG loses a level on the way.
# Packages: imageio-ffmpeg 0.8.1 (ffmpeg 9.0.2), pillow 13.0.0, numpy 2.4.6
# Guess: (200, 100, 40, 128) becomes (100, 50, 20, 128) in both files.
# Seen 2026-11-27: tiff [100, 50, 20, 128], png [199, 99, 39, 128]
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 pillow==13.0.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import subprocess

import imageio_ffmpeg
import numpy as np
from PIL import Image

source = np.zeros((16, 16, 4), np.uint8)
source[:] = (200, 100, 40, 128)
Image.fromarray(source).save("in.png")
seen = {}
for name in ("out.tiff", "out.png"):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", "in.png", "-vf", "premultiply=inplace=1", name]
    subprocess.run(command, check=True)
    with Image.open(name) as picture:
        assert picture.mode == "RGBA"
        seen[name] = np.asarray(picture)[8, 8].tolist()
print(seen)
assert seen == {"out.tiff": [100, 50, 20, 128], "out.png": [199, 99, 39, 128]}
PY
