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

from sodcli.data.masks import NoMaskError, decode_mask, fit_mask, one_channel
from sodcli.data.read import Pixels, picture_size, read_stored
from sodcli.errors import PipelineError, SourceError
from sodcli.metrics.comparison import FOREGROUND_ABOVE
from sodcli.metrics.measure import measure
from sodcli.metrics.scores import ImageScores

Oddity = Literal[
    "colour",
    "transparent",
    "deep",
    "palette",
    "resized",
    "grey truth",
    "palette truth",
    "colour truth",
    "void truth",
    "faint truth",
    "resized truth",
    "photo truth",
]
Grey = tuple[NDArray[np.uint8], frozenset[Oddity]]
_TRUTHS: Final[dict[str, Oddity]] = {
    "palette": "palette truth",
    "colour": "colour truth",
    "void": "void truth",
}
_CHUNK: Final = 8  # tasks that a process takes at a time


def read_map(path: Path) -> Grey:
    """Read a saliency map as ``(H, W)`` uint8.

    Colours are converted to grey; with a colour palette the index is used, and 0 is background.
    16-bit and floating-point maps are rounded to 256 levels. A varying alpha channel is the map
    (a cut-out).

    Raises:
        SourceError: If it cannot be read completely.
    """
    stored = read_stored(path)
    if stored.palette is not None:
        return _eight_bits(decode_mask(stored, path).levels), frozenset({"palette"})
    return _eight_bits(one_channel(stored.pixels)), _oddities(stored.pixels)


def read_truth(path: Path, size_hw: tuple[int, int] | None = None) -> Grey:
    """Read ground truth as ``(H, W)`` uint8, as :func:`sodcli.data.masks.decode_mask` does.

    Args:
        path: File of the ground truth.
        size_hw: Height and width to resize it to, as the photo's file stores them: of a photo that
            its EXIF data turns, the mask may have either orientation. Nearest if it is black and
            white, else bilinear.

    Raises:
        SourceError: If it cannot be read completely, or is a colour picture that is not a mask.
    """
    mask = decode_mask(read_stored(path), path)
    levels, odd = mask.levels, {_TRUTHS[kind] for kind in mask.kinds}
    if size_hw is not None and levels.shape not in (size_hw, size_hw[::-1]):
        same_way = (size_hw[0] < size_hw[1]) == (levels.shape[0] < levels.shape[1])
        levels = fit_mask(levels, size_hw if same_way else size_hw[::-1])
        odd.add("resized truth")
    grey = _eight_bits(levels)
    black, white = (cv2.countNonZero((grey == value).view(np.uint8)) for value in (0, 255))
    if black + white < grey.size:
        odd.add("grey truth" if grey.max() > FOREGROUND_ABOVE else "faint truth")
    return grey, frozenset(odd)


def fitted(grey: NDArray[np.uint8], size_hw: tuple[int, ...]) -> NDArray[np.uint8]:
    """Resize a map bilinearly to ``(height, width)``."""
    return np.asarray(cv2.resize(grey, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _eight_bits(grey: Pixels) -> NDArray[np.uint8]:
    if grey.dtype == np.uint8:
        return np.asarray(grey, np.uint8)
    top = 1 if np.issubdtype(grey.dtype, np.floating) else int(np.iinfo(grey.dtype.name).max)
    share = np.nan_to_num(np.multiply(grey, 1 / top, dtype=np.float32)).clip(0, 1)
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


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """One ground truth and each method's map of it.

    Attributes:
        truth: File of the ground truth.
        maps: A file per method; None where it is missing.
        which: Names of the measures to compute.
        plain: Names of the measures to compute without min-max normalisation of the map.
        photo: Resize ground truth of another size to this picture.
    """

    truth: Path
    maps: tuple[Path | None, ...]
    which: frozenset[str]
    plain: frozenset[str]
    photo: Path | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of one map.

    Attributes:
        scores: None if the map is missing or a file could not be read.
        odd: What is unusual about the map or its ground truth.
        error: Why a file could not be read, with its name.
    """

    scores: ImageScores | None = None
    odd: frozenset[Oddity] = frozenset()
    error: str | None = None


def measure_all(
    tasks: Sequence[ScoringTask], workers: int, advance: Callable[[int], None]
) -> list[tuple[Measured, ...]]:
    """Measure every map of every task; results are in the order of the tasks.

    Args:
        tasks: Ground truths with their maps.
        workers: Number of processes; 1 measures in this process.
        advance: Called with the number of tasks finished since the last call.

    Raises:
        PipelineError: If a process was killed, usually because memory ran out.
    """
    results = []
    for result in _results(tasks, min(workers, len(tasks))):
        results.append(result)
        advance(1)
    return results


def work(task: ScoringTask) -> tuple[Measured, ...]:
    """Read the ground truth once and measure each method's map against it."""
    try:
        truth, odd = read_truth(task.truth, picture_size(task.photo) if task.photo else None)
    except SourceError as error:
        odd = frozenset[Oddity]({"photo truth"} if isinstance(error, NoMaskError) else ())
        return tuple(Measured(odd=odd, error=str(error)) for _ in task.maps)
    results: list[Measured] = []
    for path in task.maps:
        if path is None:
            results.append(Measured(odd=odd))
            continue
        try:
            grey, found = read_map(path)
        except SourceError as error:
            results.append(Measured(odd=odd, error=str(error)))
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
            "a worker process was killed, perhaps because memory ran out; try --workers 1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _quiet() -> None:
    """Ignore Ctrl-C, which the parent handles, and limit OpenCV to one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
