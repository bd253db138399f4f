"""Measure maps, in this process or in several; the numbers do not depend on how many."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2

from sodcli.errors import PipelineError, SourceError
from sodcli.metrics.measure import measure
from sodcli.metrics.scores import ImageScores
from sodcli.pipelines.scoring.read import Oddity, fitted, read_map, read_truth

_CHUNK: Final = 8  # jobs a process takes at a time


@dataclass(frozen=True, slots=True)
class Job:
    """One ground truth and each method's map of it.

    Attributes:
        truth: File of the ground truth.
        maps: A file per method; None where it is missing.
        which: Names of the measures to take.
        plain: Names of the measures to take from the map as it is.
    """

    truth: Path
    maps: tuple[Path | None, ...]
    which: frozenset[str]
    plain: frozenset[str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What became of one map.

    Attributes:
        scores: None where the map is missing or something could not be read.
        odd: What was unusual about the map or its ground truth.
        error: Why it could not be read, with the file's name.
    """

    scores: ImageScores | None = None
    odd: frozenset[Oddity] = frozenset()
    error: str | None = None


def measure_all(
    jobs: Sequence[Job], workers: int, advance: Callable[[int], None]
) -> list[tuple[Measured, ...]]:
    """Measure every map of every job; results are in the order of the jobs.

    Args:
        jobs: What to do.
        workers: Number of processes. With 1 it happens in this one.
        advance: Called with the number of jobs that were finished since the last call.

    Raises:
        PipelineError: If a process was ended from outside, mostly for want of memory.
    """
    results = []
    for result in _results(jobs, min(workers, len(jobs))):
        results.append(result)
        advance(1)
    return results


def work(job: Job) -> tuple[Measured, ...]:
    """Read the ground truth once and measure each method's map against it."""
    try:
        truth, odd = read_truth(job.truth)
    except SourceError as error:
        return tuple(Measured(error=str(error)) for _ in job.maps)
    results = []
    for path in job.maps:
        if path is None:
            results.append(Measured())
            continue
        try:
            grey, found = read_map(path)
        except SourceError as error:
            results.append(Measured(error=str(error)))
            continue
        if grey.shape != truth.shape:
            grey, found = fitted(grey, truth.shape), found | {"resized"}
        scores = measure(grey, truth, which=job.which, plain=job.plain)
        results.append(Measured(scores, odd | found))
    return tuple(results)


def _results(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Measured, ...]]:
    if workers <= 1:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet)
    try:
        yield from pool.map(work, jobs, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise PipelineError(
            "a process that measured was ended, perhaps for want of memory; try --workers 1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _quiet() -> None:
    """Leave Ctrl-C to the parent, and the cores to the other processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
