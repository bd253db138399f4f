"""Throughput of a film relative to its slowest stage, and memory growth.

Run ``python -m tests.benchmarks.film_throughput [--frames 2000] [--picture 1920x1080] [--size 128]
[--batch 4] [--type rgba]``.

Renders a film, then times decoding, network, drawing (with the filter over time), encoding and the
whole pipeline in turn, in rounds, and prints medians. The stages share the machine's cores, so two
bounds are printed: the slowest stage alone, and the frames per second that the processor seconds of
all stages together allow. Then the whole film is done once, and resident memory is compared at
frame 200 and at the last.
"""

import argparse
import gc
import os
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from sodcli.imaging.compose import OF_PLANES
from sodcli.infer.films import Watcher, _completed, infer_films
from sodcli.io.films.read import FilmReader
from sodcli.io.films.write import FilmWriter
from sodcli.io.settings import InferSettings, Style
from sodcli.io.sinks import Job
from sodcli.io.sources import Input
from sodcli.runtime.predictor import load
from sodcli.runtime.steady import steadied
from sodcli.runtime.stream import saliency_stream
from sodcli.runtime.threads import opencv_in_line
from tests.benchmarks.kit import record
from tests.film_kit import ffmpeg

ROUNDS, WARM = 3, 200


@dataclass
class Taken:
    """Wall and processor seconds, including child processes, for a number of frames."""

    frames: int
    wall_s: float
    cpu_s: float

    @property
    def fps(self):
        return self.frames / self.wall_s


def timed(work):
    """Call ``work``, which returns the number of frames it processed."""
    cpu, wall = _cpu_s(), time.perf_counter()
    frames = work()
    return Taken(frames, time.perf_counter() - wall, _cpu_s() - cpu)


def _cpu_s():
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def reader_of(film, predictor, count=None):
    reader = FilmReader(film, frames=count)
    reader.as_planes(max(predictor.size_hw))
    return reader


def decode(film, predictor, count):
    return sum(1 for _ in reader_of(film, predictor, count))


def network(predictor, frames, batch, count):
    film = (frames[n % len(frames)] for n in range(count))
    return sum(1 for _ in saliency_stream(predictor, film, batch=batch, small=True))


def draw(frames, style, count):
    smooth = steadied(frames[n % len(frames)] for n in range(count))
    planar = style.kind in OF_PLANES
    return sum(1 for frame in smooth if drawn(frame, style, planar) is not None)


def drawn(frame, style, planar):
    return style.render(_completed(frame, planar=planar, soft=True))


def encode(folder, film, style, pictures, count):
    info, target = FilmReader(film), folder / f"alone{suffix(style)}"
    with FilmWriter(
        target, size_wh=info.info.size_wh, rate=info.rate, alpha=style.alpha, sound=film
    ) as writer:
        for index in range(count):
            writer.write(pictures[index % len(pictures)])
    return count


def suffix(style):
    return ".mov" if style.alpha else ".mp4"


def whole(folder, film, predictor, settings, count=None, at=lambda position: None):
    job = Job(
        Input(film, kind="film"), folder / f"whole{suffix(settings.styles[0])}", settings.styles[0]
    )
    settings = replace(settings, frames=count)
    (outcome,) = infer_films([job], predictor, settings, Watcher(lambda o: None, at))
    assert outcome.error is None, outcome.error
    return outcome.frames


def measure(folder, film, predictor, settings, count):
    """Time all five in turn, ROUNDS times; a list of ``Taken`` for each."""
    style = settings.styles[0]
    frames = predictor.predict_small(list(reader_of(film, predictor, 8)), still=False)
    pictures = [drawn(frame, style, style.kind in OF_PLANES) for frame in frames]
    works = {
        "decode": lambda: decode(film, predictor, count),
        "network": lambda: network(predictor, frames, settings.batch, count),
        "draw": lambda: draw(frames, style, count),
        "encode": lambda: encode(folder, film, style, pictures, count),
        "whole": lambda: whole(folder, film, predictor, settings, count),
    }
    taken = {name: [] for name in works}
    with opencv_in_line():  # as in the pipeline
        for _ in range(ROUNDS):
            for name, work in works.items():
                taken[name].append(timed(work))
    return taken


def report(taken, table):
    fps = {name: statistics.median(t.fps for t in rows) for name, rows in taken.items()}
    cpu = {n: statistics.median(t.cpu_s / t.frames for t in rows) for n, rows in taken.items()}
    for name in fps:
        print(f"{name:8} {fps[name]:8.1f} frames/s {1000 * cpu[name]:8.2f} ms of processor a frame")
    alone = ("decode", "network", "draw", "encode")
    slowest = min(fps[name] for name in alone)
    room = len(os.sched_getaffinity(0)) / sum(cpu[name] for name in alone)
    each = [w.fps / min(taken[n][r].fps for n in alone) for r, w in enumerate(taken["whole"])]
    print(f"whole / slowest stage alone: {fps['whole'] / slowest:.2f}"
          f"  (rounds: {', '.join(f'{ratio:.2f}' for ratio in each)})")  # fmt: skip
    print(f"whole / what the processor seconds allow ({room:.1f} frames/s):"
          f" {fps['whole'] / room:.2f}")  # fmt: skip
    for of, ratio in (("slowest stage alone", statistics.median(each)),
                      ("what the processor seconds allow", fps["whole"] / room)):  # fmt: skip
        record(table, "whole", seconds=1 / fps["whole"], ratio=ratio, of=of)


def soak(folder, film, predictor, settings):
    sizes = {}

    def at(position):
        if position.done in (WARM, position.expected):
            gc.collect()
            sizes[position.done] = resident_mb()

    taken = timed(lambda: whole(folder, film, predictor, settings, at=at))
    first, last = min(sizes), max(sizes)
    print(f"{taken.frames} frames at {taken.fps:.1f} frames/s; resident memory at frame {first}:"
          f" {sizes[first]:.1f} MiB, at frame {last}: {sizes[last]:.1f} MiB,"
          f" growth {sizes[last] - sizes[first]:.1f} MiB")  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--round", type=int, default=200, help="frames a stage and round")
    parser.add_argument("--picture", default="640x360", help="width and height of the film")
    parser.add_argument("--size", type=int, help="side that the network sees")
    parser.add_argument("--batch", type=int, help="default: what is fastest, found out at start")
    parser.add_argument("--type", default="blur")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--backend", default="auto")
    wanted = parser.parse_args()
    if wanted.frames < WARM:
        parser.error(f"--frames {wanted.frames}: memory is compared from frame {WARM} on")
    predictor = load(size=wanted.size, device=wanted.device, backend=wanted.backend)
    settings = InferSettings(
        styles=(Style(wanted.type, wanted.type),), batch=wanted.batch, overwrite=True
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = folder / "film.mp4"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={wanted.picture}:r=30000/1001",
               "-f", "lavfi", "-i", "sine", "-frames:v", wanted.frames, "-shortest",
               "-pix_fmt", "yuv420p", film)  # fmt: skip
        taken = measure(folder, film, predictor, settings, wanted.round)
        report(taken, f"film of {wanted.picture}, {wanted.type}")
        soak(folder, film, predictor, settings)


if __name__ == "__main__":
    main()
