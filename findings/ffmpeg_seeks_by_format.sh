#!/usr/bin/env bash
# Surprise: `ffmpeg -ss 0.4 -i FILE` on ten frames of a tenth of a second each starts at frame 4 for GIF, APNG, AVIF and MP4.
#   An animated WebP gives no frame at all, with exit status 0. So does H.264 without a container. AV1 without one (.obu)
#   starts at its first frame as if nothing had been asked, and MPEG-2 (.m2v) at frame 2; both print no warning. The filter
#   trim, which decodes from the beginning, starts at frame 4 in all of these.
# Packages: imageio-ffmpeg 0.8.1 (ffmpeg 9.0.2), pillow 13.0.0, numpy 2.4.6
# Guess: frame 4 is the first from each file, or the exit status is not 0.
# Seen 2026-11-28, number of frames and number of the first: a.webp [], a.mp4 [15, 4], a.h264 [0], a.obu [25, 0], a.m2v [20, 2];
#   with trim: a.webp [6, 4], a.h264 [15, 4], a.obu [15, 4], a.m2v [15, 4]
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

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error"]
RAW = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"]


def numbers(*words):
    """Decode and return the number of each frame, which is its grey level divided by 20."""
    done = subprocess.run([*FFMPEG, *words, *RAW], capture_output=True)
    assert done.returncode == 0, done.stderr
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, 64, 64)
    return [round(float(frame.mean()) / 20) for frame in frames]


first, *rest = [Image.fromarray(np.full((64, 64, 3), 20 * number, np.uint8)) for number in range(10)]
for name in ("a.webp", "a.gif", "a.png", "a.avif"):
    exact = {"lossless": True} if name == "a.webp" else {}
    first.save(name, save_all=True, append_images=rest, duration=100, **exact)
for name in ("a.mp4", "a.h264", "a.obu", "a.m2v"):
    codec = ["-c:v", "libaom-av1", "-cpu-used", "8"] if name == "a.obu" else []
    subprocess.run([*FFMPEG, "-i", "a.png", "-r", "25", "-vf", "fps=25,format=yuv420p", *codec, name], check=True)

seen = {}
for name in ("a.gif", "a.png", "a.avif", "a.webp"):
    stream = ["-map", "0:v:1"] if name == "a.avif" else []
    seen[name] = numbers("-ss", "0.4", "-i", name, *stream)
for name in ("a.mp4", "a.h264", "a.obu", "a.m2v"):
    seen[name] = [len(n := numbers("-ss", "0.4", "-i", name)), *n[:1]]
cut = {name: numbers("-i", name, "-vf", "trim=start=0.4,setpts=PTS-STARTPTS") for name in ("a.webp", "a.h264", "a.obu", "a.m2v")}
print(seen)
cut = {name: [len(found), *found[:1]] for name, found in cut.items()}
print(cut)
whole = [4, 5, 6, 7, 8, 9]
assert seen == {
    "a.gif": whole, "a.png": whole, "a.avif": whole, "a.webp": [],
    "a.mp4": [15, 4], "a.h264": [0], "a.obu": [25, 0], "a.m2v": [20, 2],
}
assert cut == {"a.webp": [6, 4], "a.h264": [15, 4], "a.obu": [15, 4], "a.m2v": [15, 4]}
PY
