"""Throughput of ``sod infer`` on a folder of photos relative to its slowest stage.

Run ``python -m tests.benchmarks.photos [FOLDER] [--count 200] [--type rgba] [--backend torch]``.

Times reading, network and encoding alone, each with the threads it has in the whole run, in turn
with the whole run, in rounds, and prints medians. Drawing the results (edges, blur) is a fourth
part and is listed separately. All of them share the machine's cores, so two bounds are
printed: the slowest stage alone, and the time in which the processors could do all of it.
"""

import argparse
import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from sodcli.infer.photos import infer
from sodcli.io.pictures.encode import encode_picture
from sodcli.io.settings import InferSettings, Style
from sodcli.io.sinks import plan_outputs, put_picture
from sodcli.io.sources import find_inputs, read_input
from sodcli.runtime.predictor import load
from sodcli.runtime.stream import saliency_stream
from sodcli.runtime.threads import Writer, opencv_in_line, ordered, picture_threads
from tests.benchmarks.film_throughput import timed
from tests.benchmarks.kit import draw_photos, record

ALONE = ("decode", "network", "encode")


class Run:
    """The whole run and its parts; each call returns the number of photos it processed."""

    def __init__(self, folder, count, predictor, settings, hands):
        self.predictor, self.settings, self.hands = predictor, settings, hands
        self.inputs = find_inputs([str(folder)], recursive=False)[:count]
        self.frames = list(map(read_input, self.inputs))
        self.answers = list(saliency_stream(predictor, self.frames, batch=settings.batch))
        self.drawn = [settings.styles[0].render(frame) for frame in self.answers]

    def decode(self):
        with opencv_in_line():
            return sum(1 for _ in ordered(read_input, self.inputs, self.hands))

    def network(self):
        frames = saliency_stream(self.predictor, self.frames, batch=self.settings.batch)
        with opencv_in_line():
            return sum(1 for _ in frames)

    def draw(self):
        with opencv_in_line():
            return sum(1 for _ in ordered(self.settings.styles[0].render, self.answers, self.hands))

    def encode(self):
        with tempfile.TemporaryDirectory() as out:
            targets = [job.target for job in self.jobs(out)]

            def prepare(n):
                return encode_picture(self.drawn[n], targets[n].suffix), targets[n]

            write = Writer(lambda both: put_picture(*both), self.hands + 1, prepare=prepare,
                           threads=self.hands)  # fmt: skip
            with write as writer:
                for n in range(len(targets)):
                    writer.put(n)
            return len(targets)

    def whole(self):
        with tempfile.TemporaryDirectory() as out:
            outcomes = infer(self.jobs(out), self.predictor, self.settings, lambda outcome: None)
            assert all(outcome.status == "done" for outcome in outcomes)
            return len(outcomes)

    def jobs(self, out):
        return plan_outputs(self.inputs, replace(self.settings, out=out))


def report(taken):
    wall = {n: statistics.median(t.wall_s for t in rows) for n, rows in taken.items()}
    cpu = {n: statistics.median(t.cpu_s for t in rows) for n, rows in taken.items()}
    frames = taken["whole"][0].frames
    for name in wall:
        print(f"{name:8} {wall[name]:7.2f} s {1000 * wall[name] / frames:8.2f} ms a photo"
              f" {1000 * cpu[name] / frames:8.2f} ms of processor a photo")  # fmt: skip
    each = [w.wall_s / max(taken[n][r].wall_s for n in ALONE)
            for r, w in enumerate(taken["whole"])]  # fmt: skip
    cores = len(os.sched_getaffinity(0))
    room = max(max(wall[n] for n in ALONE), sum(cpu[n] for n in (*ALONE, "draw")) / cores)
    print(f"whole / slowest stage alone: {wall['whole'] / max(wall[n] for n in ALONE):.2f}"
          f"  (rounds: {', '.join(f'{ratio:.2f}' for ratio in each)})")  # fmt: skip
    print(f"whole / what {cores} cores need for all of it ({room:.2f} s):"
          f" {wall['whole'] / room:.2f}")  # fmt: skip
    record(f"{frames} photos", "whole", seconds=wall["whole"], low=min(each), high=max(each),
           ratio=statistics.median(each), of="slowest stage alone")  # fmt: skip
    record(f"{frames} photos", "whole", seconds=wall["whole"], ratio=wall["whole"] / room,
           of=f"what {cores} cores allow")  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?", help="default: photos that are drawn")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--type", default="rgba")
    parser.add_argument("--batch", type=int, help="default: what is fastest, found out at start")
    parser.add_argument("--backend", default="auto")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as drawn:
        folder = wanted.folder or draw_photos(Path(drawn), wanted.count)
        measure(folder, wanted)


def measure(folder, wanted):
    predictor = load(backend=wanted.backend, pictures=wanted.count)
    settings = InferSettings(styles=(Style(wanted.type, wanted.type),), batch=wanted.batch)
    run = Run(folder, wanted.count, predictor, settings, picture_threads())
    names = ("decode", "network", "draw", "encode", "whole")
    taken = {name: [] for name in names}
    for _ in range(wanted.rounds):
        for name in names:
            taken[name].append(timed(getattr(run, name)))
    report(taken)


if __name__ == "__main__":
    main()
