"""Read and measure maps, in one process or in several, with the same numbers."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.data.read import Pixels, one_channel, read_stored
from sodcli.errors import PipelineError, SourceError
from sodcli.metrics.measure import measure
from sodcli.metrics.scores import ImageScores

Oddity = Literal["colour", "transparent", "deep", "resized", "grey truth"]
Grey = tuple[NDArray[np.uint8], frozenset[Oddity]]


def read_map(path: Path) -> Grey:
    """Read a saliency map as ``(H, W)`` uint8.

    Colour counts as the grey it shows, 16-bit and floating-point maps are rounded to 256 levels,
    and where transparency varies it is the map (a cut-out).

    Raises:
        SourceError: If it cannot be read whole.
    """
    pixels = read_stored(path)
    levels = _eight_bits(one_channel(pixels))
    return levels, _oddities(pixels)


def read_truth(path: Path) -> Grey:
    """Read ground truth as ``(H, W)`` uint8; where its greatest value is 1, that is foreground.

    It is odd where it is neither black and white nor of the classes 0 and 1.

    Raises:
        SourceError: If it cannot be read whole.
    """
    pixels = read_stored(path)
    grey = one_channel(pixels)
    if grey.max() == 1:
        grey = grey * np.array(_white(grey), grey.dtype)
    levels = _eight_bits(grey)
    black, white = (cv2.countNonZero((levels == value).view(np.uint8)) for value in (0, 255))
    return levels, frozenset({"grey truth"} if black + white < levels.size else ())


def fitted(grey: NDArray[np.uint8], size_hw: tuple[int, ...]) -> NDArray[np.uint8]:
    """Resize a map bilinearly to ``(height, width)``."""
    return np.asarray(cv2.resize(grey, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _white(grey: Pixels) -> int:
    return 1 if np.issubdtype(grey.dtype, np.floating) else int(np.iinfo(grey.dtype.name).max)


def _eight_bits(grey: Pixels) -> NDArray[np.uint8]:
    if grey.dtype == np.uint8:
        return np.asarray(grey, np.uint8)
    share = np.nan_to_num(np.multiply(grey, 1 / _white(grey), dtype=np.float32)).clip(0, 1)
    return np.asarray(np.rint(share * 255), np.uint8)


def _oddities(pixels: Pixels) -> frozenset[Oddity]:
    found: set[Oddity] = set()
    if pixels.dtype != np.uint8:
        found.add("deep")
    if pixels.ndim == 3:
        if pixels.shape[2] == 4 and np.ptp(pixels[..., 3]) > 0:
            found.add("transparent")
        elif (pixels[..., :3] != pixels[..., :1]).any():
            found.add("colour")
    return frozenset(found)


_CHUNK: Final = 8  # tasks a process takes at a time


@dataclass(frozen=True, slots=True)
class ScoringTask:
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
    tasks: Sequence[ScoringTask], workers: int, advance: Callable[[int], None]
) -> list[tuple[Measured, ...]]:
    """Measure every map of every task; results are in the order of the tasks.

    Args:
        tasks: What to do.
        workers: Number of processes. With 1 it happens in this one.
        advance: Called with the number of tasks that were finished since the last call.

    Raises:
        PipelineError: If a process was ended from outside, mostly for want of memory.
    """
    results = []
    for result in _results(tasks, min(workers, len(tasks))):
        results.append(result)
        advance(1)
    return results


def work(task: ScoringTask) -> tuple[Measured, ...]:
    """Read the ground truth once and measure each method's map against it."""
    try:
        truth, odd = read_truth(task.truth)
    except SourceError as error:
        return tuple(Measured(error=str(error)) for _ in task.maps)
    results = []
    for path in task.maps:
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
        scores = measure(grey, truth, which=task.which, plain=task.plain)
        results.append(Measured(scores, odd | found))
    return tuple(results)


def _results(tasks: Sequence[ScoringTask], workers: int) -> Iterator[tuple[Measured, ...]]:
    if workers <= 1:
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet)
    try:
        yield from pool.map(work, tasks, chunksize=_CHUNK)
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
