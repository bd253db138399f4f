"""Long runs in flat memory: ``python -m tests.torture.soak [--pictures 5000] [--frames 10000]``.

Pictures and film are drawn by code. The memory of the process and its children is sampled while
``sod infer`` works; the median of the samples after the first fifth is compared with the median
of the last fifth.
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

from PIL import Image

from tests.conftest import draw_photo
from tests.film_kit import ffmpeg, pixels

_EVERY_S = 0.05
ALLOWED = 1.05


@dataclass(frozen=True)
class Soaked:
    """Time and memory of a long run.

    Attributes:
        name: Name of the run.
        early: MiB after the start.
        late: MiB at the end.
        peak: Maximum in MiB.
        seconds: Duration.
        samples: Number of samples.
    """

    name: str
    early: float
    late: float
    peak: float
    seconds: float
    samples: int

    @property
    def growth(self) -> float:
        return self.late / self.early


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


def memory_of(process: int) -> float:
    """Return the memory of a process and its children in MiB, from ``/proc``."""
    total, todo = 0, [process]
    while todo:
        number = todo.pop()
        try:
            pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
            for task in Path(f"/proc/{number}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except (OSError, ValueError):  # the process has just ended
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total / 2**20


def soak(name: str, *words: object) -> Soaked:
    """Run ``sod`` and sample its memory until it ends; it must succeed."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "sodcli", *map(str, words), "--size", "32", "--threads", "1"],
            stdout=subprocess.DEVNULL, stderr=told,
        )  # fmt: skip
        held = []
        while process.poll() is None:
            held.append(memory_of(process.pid))
            time.sleep(_EVERY_S)
        told.seek(0)
        assert process.returncode == 0, told.read().decode()
    return judge(name, held, time.monotonic() - began)


def judge(name: str, held: list[float], seconds: float) -> Soaked:
    """Compare early with late samples, without those while libraries load."""
    warm = [amount for amount in held if amount > 0.7 * max(held)]
    fifth = max(1, len(warm) // 5)
    early, late = (
        statistics.median(warm[fifth : 2 * fifth] or warm),
        statistics.median(warm[-fifth:]),
    )
    return Soaked(name, early, late, max(held), seconds, len(held))


def soak_pictures(folder: Path, count: int) -> Soaked:
    source = draw_pictures(folder / "in", count)
    found = soak(f"{count} pictures", "infer", source, "-t", "map", "-o", f"{folder / 'out'}/")
    assert len(list((folder / "out").iterdir())) == count
    return found


def soak_film(folder: Path, frames: int) -> Soaked:
    film, out = render_film(folder / "long.mp4", frames), folder / "out.mp4"
    found = soak(f"film of {frames} frames", "infer", film, "-t", "map", "-o", out)
    assert len(pixels(out, 1)) == frames
    return found


def main() -> None:
    """Run what the command line requests, and print a table; fail if memory grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.soak")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = [soak_pictures(Path(folder, "p"), given.pictures)] if given.pictures else []
        Path(folder, "f").mkdir()
        results += [soak_film(Path(folder, "f"), given.frames)] if given.frames else []
    heads = ("early MiB", "late MiB", "growth", "peak MiB", "seconds")
    print(f"{'what':22}" + "".join(f" {head:>10}" for head in heads))
    for one in results:
        print(
            f"{one.name:22} {one.early:10.1f} {one.late:10.1f} {one.growth - 1:+10.1%} "
            f"{one.peak:10.1f} {one.seconds:10.0f}"
        )
    if any(one.growth > ALLOWED for one in results):
        sys.exit("memory grows")


if __name__ == "__main__":
    main()
