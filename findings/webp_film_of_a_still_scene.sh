#!/usr/bin/env bash
# Surprise: ffmpeg's libwebp_anim merges equal frames, and if all frames of a film are equal it writes no animation but
#   a plain still WebP, which has no field for a duration. Two seconds of cutout in which nothing moves come back as
#   one frame of no length; if just the last frame differs, all two seconds are there.
# Packages: imageio-ffmpeg 0.8.1 (ffmpeg 9.0.2), pillow 13.0.0, numpy 2.4.6
# Guess: the still film has 20 frames, or one frame of 2000 ms.
# Seen 2026-11-27: all equal: VP8L, 1 frame, 0 ms; last one differs: VP8X, 2 frames, 1900 + 100 ms
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


def film(name, frames):
    """Write 10 frames a second; return the first chunk's name and each frame's milliseconds."""
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", "64x48", "-r", "10",
         "-i", "-", "-c:v", "libwebp_anim", "-lossless", "1", name],
        input=frames.tobytes(), check=True,
    )
    chunk = open(name, "rb").read()[12:16].decode()
    times = []
    with Image.open(name) as picture:
        for index in range(picture.n_frames):
            picture.seek(index)
            picture.load()
            times.append(picture.info["duration"])
    return chunk, times


frames = np.full((20, 48, 64, 4), (90, 90, 90, 128), np.uint8)
still = film("still.webp", frames)
frames[-1] = (90, 200, 90, 128)
moving = film("moving.webp", frames)
print("all equal:", still, "last one differs:", moving)
assert still == ("VP8L", [0])
assert moving == ("VP8X", [1900, 100])
PY
