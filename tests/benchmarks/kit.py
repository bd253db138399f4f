"""Shared by all benchmarks: timing in turn, ratios with spread, and the JSON file of results."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = "SOD_BENCHMARK_RESULTS"  # environment variable with the file's name; each line is one row
PHOTO_HW = (400, 600)
_LAUNCHER = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wall, used = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**10]))
"""


def seconds(work, clock=time.perf_counter):
    start = clock()
    work()
    return clock() - start


def in_turn(works, rounds, measure=seconds):
    """Measure each of ``works`` once a round, after one warm-up round; return lists by name."""
    taken = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            value = measure(work)
            if turn:
                taken[name].append(value)
    return taken


def report(table, taken, *, engine=None, unit="ms"):
    """Print and record each median, and its ratio to the first as the median of the rounds.

    Args:
        table: Name of the benchmark in the file of results.
        taken: Seconds by name, one for each round.
        engine: Goes into each row.
        unit: ``ms`` or ``s``, for the screen.
    """
    reference, scale = next(iter(taken)), 1e3 if unit == "ms" else 1
    print(f"{table}{f', {engine}' if engine else ''}, medians of {len(taken[reference])}")
    for name, values in taken.items():
        each = sorted(a / b for a, b in zip(values, taken[reference], strict=True))
        median, ratio = statistics.median(values), statistics.median(each)
        print(f"  {name:32} {median * scale:9.2f} {unit}   {ratio:5.2f} of {reference}"
              f"  ({each[0]:.2f} to {each[-1]:.2f})", flush=True)  # fmt: skip
        record(table, name, seconds=median, ratio=ratio, of=reference, low=each[0], high=each[-1],
               engine=engine)  # fmt: skip


def record(table, name, **facts):
    """Append a row to the file of results, if there is one."""
    if RESULTS in os.environ:
        row = {"table": table, "name": name, **facts}
        with Path(os.environ[RESULTS]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def draw_photos(folder, count):
    """Write ``count`` JPEG photos of 600x400, each with a subject; return the folder."""
    from PIL import Image  # here, because other environments run some benchmarks

    from tests.draw_kit import draw_photo

    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        photo = Image.fromarray(draw_photo(seed, PHOTO_HW)[0])
        photo.save(folder / f"{seed:04}.jpg", quality=92)
    return folder


def run_process(words):
    """Run a whole program; return its seconds, processor seconds and peak memory in MiB.

    A small process starts it, because the peak starts at that of the parent. It may write compiled
    code to the disk, as an installed package has.
    """
    command = [sys.executable, "-ISc", _LAUNCHER, *map(str, words)]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, capture_output=True, check=True, env=env)
    return tuple(json.loads(done.stdout))


def report_processes(table, taken):
    """Report what :func:`run_process` measured: seconds and processor seconds, and the peaks."""
    for index, clock in enumerate(("wall", "processor")):
        columns = {name: [row[index] for row in rows] for name, rows in taken.items()}
        report(f"{table}, {clock}", columns, unit="s")
    for name, rows in taken.items():
        peak = max(row[2] for row in rows)
        print(f"  most memory of {name}: {peak:.0f} MiB")
        record(f"{table}, memory", name, mib=peak)
