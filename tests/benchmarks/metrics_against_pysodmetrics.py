"""Speed of the metrics relative to pysodmetrics, and of two processes relative to one.

Needs a Python that has sodcli's metrics, numpy, opencv and pysodmetrics 1.6.2. All are timed in
turn, in one run, on the same PNG files, reading included; rounds are interleaved, and the ratio is
the median of the rounds' ratios.
Run: ``python -m tests.benchmarks.metrics_against_pysodmetrics [FOLDER-OF-MAPS FOLDER-OF-MASKS]``.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import statistics
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from sodcli.benchmark.measure import ScoringTask, work
from sodcli.metrics.measure import USUAL
from tests.benchmarks.kit import record

SIZES_WH = ((400, 300), (1920, 1080))
ROUNDS = 7
COMMON = USUAL - {"mba"}  # pysodmetrics has no boundary accuracy
BATCH = {400: 160, 1920: 24}  # pictures per round when processes are compared


def picture(width: int, height: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a wavy blob of ``radius`` as a share of the height, and a soft, noisy map of it."""
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - height / 2, x - width / 2)
    reach = height * radius * (1 + 0.2 * np.sin(7 * angle))
    gt = (np.hypot(y - height / 2, x - width / 2) < reach).astype(np.uint8) * 255
    noise = np.random.default_rng(0).normal(0, 12, gt.shape)
    soft = cv2.GaussianBlur(gt.astype(np.float64), (0, 0), height / 80)
    return np.clip(np.rint(soft + noise), 0, 255).astype(np.uint8), gt


def drawn(folder: Path, width: int, height: int) -> list[tuple[Path, Path]]:
    """Write pairs with little and with much foreground."""
    pairs = []
    for number, radius in enumerate((0.15, 0.25, 0.35)):
        names = [folder / f"{kind}_{width}_{number}.png" for kind in ("map", "mask")]
        for name, pixels in zip(names, picture(width, height, radius), strict=True):
            cv2.imwrite(str(name), pixels)
        pairs.append((names[0], names[1]))
    return pairs


def theirs(pairs: list[tuple[Path, Path]]) -> None:
    """Read the pairs and compute the measures in COMMON with pysodmetrics."""
    import py_sod_metrics

    for pred, gt in pairs:
        read = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (pred, gt)]
        for name in ("MAE", "Fmeasure", "WeightedFmeasure", "Smeasure", "Emeasure"):
            getattr(py_sod_metrics, name)().step(pred=read[0], gt=read[1])


def ours(pairs: list[tuple[Path, Path]], which: frozenset[str] = COMMON) -> None:
    """Read and measure the pairs as ``sod eval`` does."""
    for pred, gt in pairs:
        (result,) = work(ScoringTask(gt, (pred,), which, frozenset()))
        assert result.scores is not None


def seconds(function, *words) -> float:
    start = time.perf_counter()
    function(*words)
    return time.perf_counter() - start


def compare(pairs: list[tuple[Path, Path]], name: str) -> str:
    """Time both libraries on the same files and return a line of results."""
    rounds = [
        (seconds(theirs, pairs), seconds(ours, pairs), seconds(ours, pairs, USUAL))
        for _ in range(ROUNDS)
    ]
    times = [1e3 * statistics.median(column) / len(pairs) for column in zip(*rounds, strict=True)]
    each = sorted(a / b for a, b, _ in rounds)
    ratio = statistics.median(each)
    record("metrics", name, seconds=times[1] / 1e3, ratio=1 / ratio, low=1 / each[-1],
           high=1 / each[0], of="pysodmetrics")  # fmt: skip
    return (
        f"per image: pysodmetrics {times[0]:.1f} ms, the same here {times[1]:.2f} ms: "
        f"{ratio:.1f} times as fast; with mBA {times[2]:.2f} ms"
    )


def _single() -> None:
    cv2.setNumThreads(1)


def processes(pairs: list[tuple[Path, Path]], width: int) -> str:
    """Time one running process against two, on many pairs."""
    many = [pairs[at % len(pairs)] for at in range(BATCH[width])]
    jobs = [ScoringTask(gt, (pred,), USUAL, frozenset()) for pred, gt in many]
    context = multiprocessing.get_context("spawn")
    pools = [ProcessPoolExecutor(n, mp_context=context, initializer=_single) for n in (1, 2)]
    try:
        for pool in pools:  # started before timing
            list(pool.map(work, jobs[:8]))
        rounds = [
            tuple(
                seconds(lambda pool=pool: list(pool.map(work, jobs, chunksize=4))) for pool in pools
            )
            for _ in range(ROUNDS)
        ]
    finally:
        for pool in pools:
            pool.shutdown()
    ratio = statistics.median(one / two for one, two in rounds)
    return f"two processes are {ratio:.2f} times as fast as one (begun beforehand)"


def main() -> None:
    """Print two lines per size."""
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIZES_WH:
            pairs = drawn(Path(folder), width, height)
            print(f"{width}x{height}: {compare(pairs, f'{width}x{height}')}", flush=True)
            print(f"{width}x{height}: {processes(pairs, width)}", flush=True)
    if len(sys.argv) > 2:
        maps, masks = (sorted(Path(name).iterdir()) for name in sys.argv[1:3])
        print(f"{sys.argv[1]}: {compare(list(zip(maps, masks, strict=True)), maps[0].parent.name)}")


if __name__ == "__main__":
    main()
