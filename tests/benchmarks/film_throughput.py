"""Throughput of a film relative to its slowest stage, and memory growth.

Run ``python -m tests.benchmarks.film_throughput [--frames 2000] [--size 128] [--batch 4]``.

Renders a film of 640x360, then times decoding, network, encoding and the whole pipeline in turn,
in rounds, and prints medians. The stages share the machine's cores, so two bounds are
printed: the slowest stage alone, and the frames per second that the processor seconds of all
stages together allow. Then the whole film is done once, and resident memory is compared
at frame 200 and at the last.
"""

import argparse
import gc
import os
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from sodcli.imaging.compose import compose
from sodcli.infer.films import Watcher, infer_films
from sodcli.io.films.read import FilmReader
from sodcli.io.films.write import FilmWriter
from sodcli.io.settings import InferSettings, Style
from sodcli.io.sinks import Job
from sodcli.io.sources import Input
from sodcli.runtime.predictor import load
from sodcli.runtime.stream import saliency_stream
from tests.benchmarks.kit import record
from tests.film_kit import ffmpeg

SIZE, ROUNDS, WARM = "640x360", 3, 200


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


def decode(film, count):
    return sum(1 for _ in FilmReader(film, frames=count))


def network(predictor, frames, batch, count):
    film = (frames[n % len(frames)] for n in range(count))
    return sum(1 for _ in saliency_stream(predictor, film, batch=batch))


def encode(folder, film, pictures, count):
    reader = FilmReader(film)
    target = folder / "alone.mp4"
    with FilmWriter(target, size_wh=reader.info.size_wh, rate=reader.rate, sound=film) as writer:
        for index in range(count):
            writer.write(pictures[index % len(pictures)])
    return count


def whole(folder, film, predictor, settings, count=None, at=lambda position: None):
    job = Job(Input(film, kind="film"), folder / "whole.mp4", settings.styles[0])
    settings = replace(settings, frames=count)
    (outcome,) = infer_films([job], predictor, settings, Watcher(lambda o: None, at))
    assert outcome.error is None, outcome.error
    return outcome.frames


def measure(folder, film, predictor, settings, count):
    """Time all four in turn, ROUNDS times; a list of ``Taken`` for each."""
    frames = predictor.predict(list(islice(FilmReader(film), 8)))
    pictures = [compose(settings.styles[0].kind, frame) for frame in frames]
    works = {
        "decode": lambda: decode(film, count),
        "network": lambda: network(predictor, frames, settings.batch, count),
        "encode": lambda: encode(folder, film, pictures, count),
        "whole": lambda: whole(folder, film, predictor, settings, count),
    }
    taken = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            taken[name].append(timed(work))
    return taken


def report(taken):
    fps = {name: statistics.median(t.fps for t in rows) for name, rows in taken.items()}
    cpu = {n: statistics.median(t.cpu_s / t.frames for t in rows) for n, rows in taken.items()}
    for name in fps:
        print(f"{name:8} {fps[name]:8.1f} frames/s {1000 * cpu[name]:8.2f} ms of processor a frame")
    alone = ("decode", "network", "encode")
    slowest = min(fps[name] for name in alone)
    room = len(os.sched_getaffinity(0)) / sum(cpu[name] for name in alone)
    each = [w.fps / min(taken[n][r].fps for n in alone) for r, w in enumerate(taken["whole"])]
    print(f"whole / slowest stage alone: {fps['whole'] / slowest:.2f}"
          f"  (rounds: {', '.join(f'{ratio:.2f}' for ratio in each)})")  # fmt: skip
    print(f"whole / what the processor seconds allow ({room:.1f} frames/s):"
          f" {fps['whole'] / room:.2f}")  # fmt: skip
    for of, ratio in (("slowest stage alone", statistics.median(each)),
                      ("what the processor seconds allow", fps["whole"] / room)):  # fmt: skip
        record(f"film of {SIZE}", "whole", seconds=1 / fps["whole"], ratio=ratio, of=of)


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
    parser.add_argument("--size", type=int, help="side that the network sees")
    parser.add_argument("--batch", type=int, help="default: what is fastest, found out at start")
    parser.add_argument("--type", default="blur")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--backend", default="auto")
    wanted = parser.parse_args()
    predictor = load(size=wanted.size, device=wanted.device, backend=wanted.backend)
    settings = InferSettings(
        styles=(Style(wanted.type, wanted.type),), batch=wanted.batch, overwrite=True
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = folder / "film.mp4"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={SIZE}:r=30000/1001", "-f", "lavfi", "-i", "sine",
               "-frames:v", wanted.frames, "-shortest", "-pix_fmt", "yuv420p", film)  # fmt: skip
        report(measure(folder, film, predictor, settings, wanted.round))
        soak(folder, film, predictor, settings)


if __name__ == "__main__":
    main()
