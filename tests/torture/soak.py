"""Long runs that leak nothing: ``python -m tests.torture.soak [--pictures 5000] ...``.

Pictures, film and stream are drawn by code. The memory, open files and threads of the process and
its children are sampled while it works; the median of the samples after the first fifth is compared
with the median of the last fifth.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests.camera_kit import motion_jpeg, served
from tests.draw_kit import draw_photo
from tests.film_kit import ffmpeg, pixels

_EVERY_S = 0.2
ALLOWED = 1.05
CALLS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import sodcli
from tests.draw_kit import draw_photo

predictor = sodcli.load(size=32, threads=1)
photos = [draw_photo(seed, (48 + 4 * (seed % 7), 64 + 4 * (seed % 5)))[0] for seed in range(20)]
wanted = [predictor.cut_out(photo) for photo in photos]

def right(number):
    return np.array_equal(predictor.cut_out(photos[number % 20]), wanted[number % 20])

with ThreadPoolExecutor(8) as pool:
    wrong = list(pool.map(right, range(int(sys.argv[1])))).count(False)
assert not wrong, f"{wrong} wrong results"
"""


class Use(NamedTuple):
    """What a process and its children hold at one moment; ``memory`` in MiB."""

    memory: float
    files: float
    threads: float


@dataclass(frozen=True)
class Soaked:
    """What a long run held.

    Attributes:
        name: Name of the run.
        early: After the start.
        late: At the end.
        peak: Maximum of memory in MiB.
        seconds: Duration.
        samples: Number of samples.
    """

    name: str
    early: Use
    late: Use
    peak: float
    seconds: float
    samples: int

    @property
    def growth(self) -> float:
        """Memory at the end as a ratio of that after the start."""
        return self.late.memory / self.early.memory

    def flat(self, allowed: float = ALLOWED, more: int = 2) -> bool:
        """Whether memory grows to ``allowed`` times, and files and threads by ``more``, at most."""
        most = max(self.late.files - self.early.files, self.late.threads - self.early.threads)
        return self.growth <= allowed and most <= more


def draw_pictures(folder: Path, count: int) -> Path:
    """Write ``count`` small pictures of 20 kinds and sizes."""
    folder.mkdir(parents=True)
    kinds = []
    for number in range(20):
        size_hw = (48 + 4 * (number % 7), 64 + 4 * (number % 5))
        path = folder.parent / f"kind{number}.{('png', 'jpg', 'webp')[number % 3]}"
        Image.fromarray(draw_photo(seed=number, size_hw=size_hw)[0]).save(path)
        kinds.append(path)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        (folder / f"{number}{kind.suffix}").write_bytes(kind.read_bytes())
    return folder


def render_film(path: Path, frames: int) -> Path:
    """Render a film of ``frames`` frames of 64x48."""
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc=s=64x48:r=100",
        "-frames:v",
        frames,
        "-pix_fmt",
        "yuv420p",
        path,
    )
    return path


def use_of(process: int) -> Use:
    """Return what a process and its children hold, from ``/proc``."""
    memory = files = threads = 0
    todo = [process]
    while todo:
        home = Path(f"/proc/{todo.pop()}")
        try:
            pages = int((home / "statm").read_text().split()[1])
            tasks, handles = list((home / "task").iterdir()), len(list((home / "fd").iterdir()))
            for task in tasks:
                todo += map(int, (task / "children").read_text().split())
        except (OSError, ValueError):  # the process or the thread has just ended
            continue
        memory, files, threads = memory + pages, files + handles, threads + len(tasks)
    return Use(memory * os.sysconf("SC_PAGE_SIZE") / 2**20, files, threads)


def soak(name: str, *words: object) -> Soaked:
    """Run Python with ``words`` and sample what it holds until it ends; it must succeed."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [sys.executable, *map(str, words)], stdout=subprocess.DEVNULL, stderr=told
        )
        held = []
        while process.poll() is None:
            held.append(use_of(process.pid))
            time.sleep(_EVERY_S)
        told.seek(0)
        assert process.returncode == 0, told.read().decode()
    return judge(name, held, time.monotonic() - began)


def judge(name: str, held: list[Use], seconds: float) -> Soaked:
    """Compare early with late samples, without those while libraries load."""
    peak = max(use.memory for use in held)
    warm = [use for use in held if use.memory > 0.7 * peak]
    fifth = max(1, len(warm) // 5)
    parts = (warm[fifth : 2 * fifth] or warm, warm[-fifth:])
    early, late = (Use(*map(statistics.median, zip(*part, strict=True))) for part in parts)
    return Soaked(name, early, late, peak, seconds, len(held))


def infer(*words: object) -> tuple[object, ...]:
    """Return the words of ``sod infer`` with a small network on one thread."""
    return ("-m", "sodcli", "infer", *words, "-t", "map", "--size", "32", "--threads", "1")


def soak_pictures(folder: Path, count: int) -> Soaked:
    source = draw_pictures(folder / "in", count)
    found = soak(f"{count} pictures", *infer(source, "-o", f"{folder / 'out'}/"))
    assert len(list((folder / "out").iterdir())) == count
    return found


def soak_film(folder: Path, frames: int) -> Soaked:
    film, out = render_film(folder / "long.mp4", frames), folder / "out.mp4"
    found = soak(f"film of {frames} frames", *infer(film, "-o", out))
    assert len(pixels(out, 1)) == frames
    return found


def soak_live(folder: Path, frames: int) -> Soaked:
    """Record a stream, of which pictures that come while one is in work are left out."""
    out = folder / "live.mp4"
    with served(lambda handler: motion_jpeg(handler, count=100 * frames)) as address:
        found = soak(
            f"{frames} live frames", *infer(f"{address}/live.mjpg", "-o", out, "--frames", frames)
        )
    assert 0 < len(pixels(out, 1)) <= frames
    return found


def soak_calls(folder: Path, count: int) -> Soaked:
    """Call one predictor from 8 threads; each call must give the result of its own photo."""
    return soak(f"{count} calls, 8 threads", "-c", CALLS, count)


RUNS = {"pictures": soak_pictures, "frames": soak_film, "live": soak_live, "calls": soak_calls}


def main() -> None:
    """Run what the command line requests, and print a table; fail if anything grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.soak")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--live", type=int, default=500)
    parser.add_argument("--calls", type=int, default=2000)
    given = parser.parse_args()
    heads = ("early MiB", "late MiB", "growth", "peak MiB", "files", "threads", "seconds")
    print(f"{'what':24}" + "".join(f" {head:>10}" for head in heads))
    grown = False
    for what, run in RUNS.items():
        if not (count := getattr(given, what)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            one = run(Path(folder), count)
        early, late = one.early, one.late
        print(
            f"{one.name:24} {early.memory:10.1f} {late.memory:10.1f} {one.growth - 1:+10.1%} "
            f"{one.peak:10.1f} {early.files:4.0f} -> {late.files:2.0f} "
            f"{early.threads:4.0f} -> {late.threads:2.0f} {one.seconds:10.0f}",
            flush=True,
        )
        grown |= not one.flat()
    if grown:
        sys.exit("memory, files or threads grow")


if __name__ == "__main__":
    main()
