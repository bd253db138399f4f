#!/usr/bin/env bash
# Surprise: ffmpeg's two ProRes encoders disagree about -q:v. prores_ks, which does not list the option in its help, takes it as
#   the quantiser of all slices and then skips its search for one per slice: the same film in a fifth of the processor
#   time, at 60 dB and more. prores_aw accepts the option and writes the same bytes for every value.
# Packages: imageio-ffmpeg 0.8.1 (ffmpeg 9.0.2)
# Guess: -q:v means the same to both, and a fixed quality costs as much as the default.
# Seen 2026-11-28, 30 frames of testsrc2 with alpha, 640x360, profile 4444: prores_ks 1.01 s by default, 0.20 s with
#   -q:v 2 (69 dB of luma); prores_aw 9,226,195 bytes with -q:v 2, with 20 and without it
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import re
import resource
import subprocess
from pathlib import Path

import imageio_ffmpeg

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FORM = ["-f", "rawvideo", "-pix_fmt", "yuva444p10le", "-video_size", "640x360", "-framerate", "25"]


def ffmpeg(*words):
    """Run ffmpeg; return its processor seconds and what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([FFMPEG, "-hide_banner", "-y", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, done.stderr


def encoded(encoder, profile, *words):
    return ffmpeg(*FORM, "-i", "film.yuv", "-c:v", encoder, "-profile:v", profile, *words, "a.mov")[0]


def decibels():
    heard = ffmpeg("-i", "a.mov", *FORM, "-i", "film.yuv", "-lavfi", "psnr", "-f", "null", "-")[1]
    return float(re.search(r"PSNR y:([\d.]+)", heard)[1])


grey = "geq=lum='255*X/W':cb=128:cr=128"
ffmpeg("-f", "lavfi", "-i", "testsrc2=s=640x360", "-f", "lavfi", "-i", f"color=s=640x360,{grey}",
       "-filter_complex", "[0][1]alphamerge", "-frames:v", "30", "-pix_fmt", "yuva444p10le",
       "-f", "rawvideo", "film.yuv")
search = min(encoded("prores_ks", "4444") for _ in range(3))
fixed = min(encoded("prores_ks", "4444", "-q:v", "2") for _ in range(3))
quality = decibels()
print(f"prores_ks: {search:.2f} s by default, {fixed:.2f} s with -q:v 2 ({quality:.0f} dB)")
assert fixed < search / 2
assert quality > 60

films = []
for words in ((), ("-q:v", "2"), ("-q:v", "20")):
    encoded("prores_aw", "4", "-bitexact", *words)
    films.append(Path("a.mov").read_bytes())
print("prores_aw:", *(f"{len(film):,} bytes" for film in films))
assert films[0] == films[1] == films[2]
PY
