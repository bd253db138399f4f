"""How many times as fast as pysodmetrics the metrics are, on one core.

Needs a Python that has sodcli, numpy, opencv and pysodmetrics 1.6.2; both are timed in turn, in one
run, on the same pictures, and the best round counts, as other programs only ever slow one down.
Run: ``python tests/benchmarks/metrics_against_pysodmetrics.py``.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
import warnings
from collections.abc import Callable

import cv2
import numpy as np
import py_sod_metrics

from sodcli.metrics.measure import ALL, measure

SIZES_WH = ((400, 300), (1920, 1080))
ROUNDS = 25
COMMON = ALL - {"mba"}  # pysodmetrics has no boundary accuracy


def picture(width: int, height: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a wavy blob, ``radius`` being its share of the height, and a soft, noisy map of it."""
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - height / 2, x - width / 2)
    reach = height * radius * (1 + 0.2 * np.sin(7 * angle))
    gt = (np.hypot(y - height / 2, x - width / 2) < reach).astype(np.uint8) * 255
    noise = np.random.default_rng(0).normal(0, 12, gt.shape)
    soft = cv2.GaussianBlur(gt.astype(np.float64), (0, 0), height / 80)
    return np.clip(np.rint(soft + noise), 0, 255).astype(np.uint8), gt


def reference(pred: np.ndarray, gt: np.ndarray) -> None:
    """Compute what COMMON names with pysodmetrics."""
    for name in ("MAE", "Fmeasure", "WeightedFmeasure", "Smeasure", "Emeasure"):
        getattr(py_sod_metrics, name)().step(pred=pred, gt=gt)


def in_turn(*functions: Callable[[], object]) -> list[float]:
    """Time the functions one after the other, ROUNDS times; the best of each, in ms."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append((time.perf_counter() - start) * 1e3)
    return [min(taken) for taken in times]


def compare(pred: np.ndarray, gt: np.ndarray) -> str:
    """Time both libraries on one pair and put the result in words."""
    theirs, ours, with_mba, light = in_turn(
        lambda: reference(pred, gt),
        lambda: measure(pred, gt, which=COMMON),
        lambda: measure(pred, gt),
        lambda: measure(pred, gt, which={"mae", "f"}),
    )
    return (
        f"pysodmetrics {theirs:.1f} ms, the same here {ours:.2f} ms ({theirs / ours:.1f}x),"
        f" with mBA {with_mba:.2f} ms, MAE and F only {light:.2f} ms"
    )


def main() -> None:
    """Print one line per size and share of foreground."""
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    for width, height in SIZES_WH:
        for radius in (0.15, 0.35):
            pred, gt = picture(width, height, radius)
            share = 100 * np.mean(gt > 0)
            print(f"{width}x{height}, {share:.0f}% foreground: {compare(pred, gt)}")


if __name__ == "__main__":
    main()
