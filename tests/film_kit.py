"""Films for tests, rendered and decoded by ffmpeg."""

import re
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image, ImageSequence

from sodcli.imaging.tensors import IMAGENET_MEAN, IMAGENET_STD
from sodcli.io.films.ffmpeg import executable
from sodcli.runtime.backends import Backend
from sodcli.runtime.predictor import Predictor

FLASH = "between(mod({t}\\,1)\\,0\\,0.2)*gte({t}\\,0.9)"  # 0.2 s each, from 1.0 s and 2.0 s
FLASHES = (
    "color=black:s=64x48:r={rate},geq=lum='if(" + FLASH.format(t="T") + ",235,16)':cb=128:cr=128"
)
BEEPS = "aevalsrc='if(" + FLASH.format(t="t") + ",0.8*sin(2*PI*1000*t),0)':s=48000"


def ffmpeg(*words):
    """Run ffmpeg without errors or warnings; return its standard output."""
    command = [executable(), "-v", "error", "-y", *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@cache
def _made(suffix, words):
    """Return the bytes of the file that ffmpeg writes; cached for all tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"film{suffix}"
        ffmpeg(*words, path)
        return path.read_bytes()


def make(path, *words):
    """Write ``path`` with ffmpeg; ``words`` are its arguments without the output file."""
    path.write_bytes(_made(path.suffix, tuple(map(str, words))))
    return path


def render(path, *words, rate="25", size="64x48", seconds=1.0, sound=False):
    """Write a moving test pattern, with a tone if ``sound``; ``words`` are output options."""
    args = ["-f", "lavfi", "-i", f"testsrc=s={size}:r={rate}"]
    args += ["-f", "lavfi", "-i", "sine=440"] if sound else []
    pixels = [] if "-pix_fmt" in words or path.suffix == ".gif" else ["-pix_fmt", "yuv420p"]
    return make(path, *args, "-t", seconds, *pixels, *words)


def flash_film(path, *words, rate="25"):
    """Write 3 s of black that flash and beep at 1 s and at 2 s."""
    args = ["-f", "lavfi", "-i", FLASHES.format(rate=rate), "-f", "lavfi", "-i", BEEPS]
    return make(path, *args, "-t", 3, "-pix_fmt", "yuv420p", *words)


def told(path):
    """Return ffmpeg's description of a file."""
    done = subprocess.run([executable(), "-i", path], capture_output=True, text=True, check=False)
    return done.stderr


def size_of(path):
    return tuple(map(int, re.search(r"Video: .*?, (\d+)x(\d+)", told(path)).groups()))


def pixels(path, channels=3, *words):
    """Decode every frame once: ``(N, H, W, channels)`` uint8; ``words`` go before the input."""
    width, height = size_of(path)
    form = {1: "gray", 3: "rgb24", 4: "rgba"}[channels]
    raw = ffmpeg(
        *words, "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough",
        "-f", "rawvideo", "-pix_fmt", form, "-",
    )  # fmt: skip
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, channels)


def stamps(path):
    """Return the time of every frame in seconds, on the clock of the sound."""
    packets = ffmpeg(
        "-copyts", "-i", path, "-map", "0:v:0", "-map", "0:a?", "-c", "copy", "-f", "framecrc", "-"
    ).decode()
    beat = re.search(r"#tb 0: (\d+)/(\d+)", packets)
    rows = [line.split(",") for line in packets.splitlines() if line.startswith("0,")]
    return sorted(int(row[2]) * int(beat[1]) / int(beat[2]) for row in rows)


def lengths(path):
    """Return the duration of each frame in seconds, as reported by ffmpeg's decoder."""
    words = ["-nostats", "-i", path, "-vf", "showinfo=checksum=0", "-f", "null", "-"]
    done = subprocess.run([executable(), *words], capture_output=True, text=True, check=False)
    return [float(length) for length in re.findall(r" duration_time:(\S+)", done.stderr)]


def picture_lengths(path):
    """Return the duration of each frame of an animated picture in seconds."""
    with Image.open(path) as image:
        frames = ImageSequence.Iterator(image)
        return [frame.load() and frame.info["duration"] / 1000 for frame in frames]


def paused_picture(path, last_s=3.0):
    """Write ten frames of a tenth of a second each; the last one lasts longer."""
    shades = [Image.fromarray(np.full((48, 64, 3), 20 * n, np.uint8)) for n in range(10)]
    each = [100] * 9 + [round(last_s * 1000)]
    shades[0].save(path, save_all=True, append_images=shades[1:], duration=each, loop=0)
    return path


def late_film(path):
    """Write sound from 0 to 4 s, and video of variable rate that starts at 1 s."""
    chosen = "select='not(between(n,15,24))',setpts=PTS+1/TB"
    args = ["-f", "lavfi", "-i", "sine=440", "-f", "lavfi", "-i", "testsrc=s=64x48:r=10"]
    args += ["-map", "0", "-map", "1", "-t", 4, "-vf", chosen, "-fps_mode", "passthrough"]
    return make(path, *args, "-enc_time_base", "1/90000", "-pix_fmt", "yuv420p")


def onsets(path):
    """Return the start times of flashes and of beeps in seconds: two arrays."""
    bright = pixels(path, 1).mean((1, 2, 3)) > 120
    seen = np.array(stamps(path))[1:][bright[1:] & ~bright[:-1]]
    raw = ffmpeg(
        "-copyts", "-i", path, "-map", "0:v?", "-map", "0:a", "-vn",
        "-af", "aresample=async=1:first_pts=0", "-f", "s16le", "-ac", "1", "-ar", "48000", "-",
    )  # fmt: skip
    loud = np.flatnonzero(np.abs(np.frombuffer(raw, np.int16).astype(int)) > 3000) / 48000
    return seen, _starts(loud)


def _starts(times, pause=0.4):
    return times[np.flatnonzero(np.diff(times, prepend=-1.0) > pause)]


class Echo(Backend):
    """A backend whose saliency is the red channel of the picture."""

    def __init__(self, before=lambda batch: None):
        self.before = before

    def run(self, batch):
        self.before(batch)
        red = np.clip(batch[:, :1] * IMAGENET_STD[0] + IMAGENET_MEAN[0], 1e-4, 1 - 1e-4)
        return np.log(red / (1 - red)).astype(np.float32)


def echo_predictor(registry, size=64, before=lambda batch: None):
    return Predictor(registry.model("sdnet"), torch.nn.Identity(), Echo(before), size=size)
