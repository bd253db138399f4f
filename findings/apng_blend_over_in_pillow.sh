#!/usr/bin/env bash
# Surprise: Pillow lays a half transparent APNG frame over the one before it (blend=1) by mixing all four channels with
#   its alpha, instead of composing. Where nothing lies below, alpha 100 becomes 39 and the colour darkens with it.
#   OpenCV and ffmpeg agree with each other and with the rule that the format gives.
# Packages: pillow 13.0.0, opencv-python-headless 5.0.0.93, imageio-ffmpeg 0.8.1 (ffmpeg 9.0.2)
# Guess: (40, 200, 40, 100) over nothing stays as it is in all three; over alpha 100 it gives alpha 161.
# Seen 2026-11-27: over nothing: Pillow (16, 78, 16, 39), OpenCV and ffmpeg (40, 200, 40, 100);
#   over alpha 100: alpha 100 in Pillow, 160 in OpenCV, 161 in ffmpeg
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 opencv-python-headless==5.0.0.93 imageio-ffmpeg==0.8.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import subprocess

import cv2
import imageio_ffmpeg
import numpy as np
from PIL import Image


def box(colour, left):
    frame = np.zeros((32, 32, 4), np.uint8)
    frame[8:24, left : left + 12] = colour
    return Image.fromarray(frame)


first, second = box((200, 40, 40, 100), 4), box((40, 200, 40, 100), 10)
first.save("two.png", save_all=True, append_images=[second], duration=100, disposal=0, blend=1)
with Image.open("two.png") as picture:
    picture.seek(1)
    pillow = np.asarray(picture.convert("RGBA"))
opencv = cv2.cvtColor(cv2.imreadanimation("two.png")[1].frames[1], cv2.COLOR_BGRA2RGBA)
raw = subprocess.run(
    [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "apng", "-i", "two.png", "-fps_mode", "passthrough",
     "-f", "rawvideo", "-pix_fmt", "rgba", "-"], check=True, capture_output=True).stdout
ffmpeg = np.frombuffer(raw, np.uint8).reshape(2, 32, 32, 4)[1]
for place, column in (("over nothing", 18), ("over alpha 100", 12)):
    print(place, *(f"{name} {picture[16, column].tolist()}" for name, picture in
                   (("Pillow", pillow), ("OpenCV", opencv), ("ffmpeg", ffmpeg))))
assert pillow[16, 18].tolist() == [16, 78, 16, 39]
assert opencv[16, 18].tolist() == ffmpeg[16, 18].tolist() == [40, 200, 40, 100]
assert (pillow[16, 12, 3], opencv[16, 12, 3], ffmpeg[16, 12, 3]) == (100, 160, 161)
PY
