"""Choose how many pictures the network processes at a time, by timing the first few."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from pathlib import Path
from threading import Barrier
from typing import Final, TypeVar

from sodcli.errors import DeviceError
from sodcli.runtime.backends import Backend

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[Sequence[T]], list[R]]
"""Returns one result for each item."""

_MIN_GAIN: Final = 1.1  # smallest speed ratio for which a new batch size or worker count is kept
_MAX_BATCH: Final = 16
_MEMORY_SHARE: Final = 4  # a batch may take a quarter of the free memory
_MEMINFO: Final = Path("/proc/meminfo")


def retry_smaller(work: Work[T, R], items: Sequence[T]) -> list[R]:
    """Return ``work(items)``; when memory runs out, process the two halves one after the other.

    Raises:
        DeviceError: If memory runs out for a single item.
    """
    if not items:
        return []
    try:
        return work(items)
    except DeviceError:
        if len(items) == 1:
            raise
    middle = len(items) // 2  # outside the except block: its traceback keeps the memory in use
    return retry_smaller(work, items[:middle]) + retry_smaller(work, items[middle:])


def batched(
    work: Work[T, R], items: Iterable[T], *, backend: Backend | None, batch: int | None
) -> Iterator[R]:
    """Yield the results of ``work`` for ``items``, in order. The results do not depend on batching.

    Args:
        work: Processes a sequence of items.
        items: Read lazily, only as they are processed.
        backend: The backend that ``work`` runs. ``None``: by default one item per call.
        batch: Items per call. ``None`` chooses by timing the first items. For a backend with
            several workers it chooses the number of workers (halved as long as that is 10 %
            faster), with one item per call. For other backends it chooses the batch size (doubled
            as long as that is 10 % faster and memory allows it).
    """
    rest = iter(items)
    if batch is not None or backend is None:
        return _fixed(work, rest, batch or 1)
    head = list(islice(rest, 2))
    rest = chain(head, rest)
    if len(head) < 2:
        return _fixed(work, rest, 1)
    if backend.workers > 1:
        return _in_workers(work, rest, backend)
    return _growing(work, rest)


def _fixed(work: Work[T, R], rest: Iterator[T], batch: int) -> Iterator[R]:
    while group := list(islice(rest, batch)):
        yield from work(group)


def _growing(work: Work[T, R], rest: Iterator[T]) -> Iterator[R]:
    trial, before, size = _Trial(), _free_bytes(), 1
    while size <= _MAX_BATCH and size <= _affordable(before, max(1, size // 2)):
        yield from work(list(islice(rest, size)))  # the first call of a size may be slow
        group = list(islice(rest, size))
        yield from trial.timed(work, group)
        if not trial.keeps(size, len(group) == size):
            break
        size *= 2
    yield from _fixed(work, rest, trial.best)


def _in_workers(work: Work[T, R], rest: Iterator[T], backend: Backend) -> Iterator[R]:
    pool = _start_workers(backend)
    trial, before = _Trial(), _free_bytes()
    try:
        yield from pool.submit(work, list(islice(rest, 1))).result()
        workers = min(backend.workers, _affordable(before, 1))
        while workers > 1:
            group = list(islice(rest, 2 * workers))
            yield from trial.timed(partial(_all_in_pool, pool, work, workers), group)
            if not trial.keeps(workers, len(group) == 2 * workers):
                break
            workers //= 2
        if trial.best > 1:
            yield from _in_pool(pool, work, rest, trial.best, ready=1)
    finally:
        pool.shutdown(cancel_futures=True)
    yield from _fixed(work, rest, 1)


def _all_in_pool(
    pool: ThreadPoolExecutor, work: Work[T, R], workers: int, items: Sequence[T]
) -> list[R]:
    return list(_in_pool(pool, work, items, workers))


def _in_pool(
    pool: ThreadPoolExecutor, work: Work[T, R], items: Iterable[T], workers: int, ready: int = 0
) -> Iterator[R]:
    """Keep ``workers`` threads busy and ``ready`` more items queued for the next free one."""
    waiting: deque[Future[list[R]]] = deque()
    for item in items:
        waiting.append(pool.submit(work, [item]))
        if len(waiting) >= workers + ready:
            yield from waiting.popleft().result()
    for answer in waiting:
        yield from answer.result()


def _start_workers(backend: Backend) -> ThreadPoolExecutor:
    """Return a pool whose threads have all started and called ``start_worker``."""
    started = Barrier(backend.workers + 1)
    pool = ThreadPoolExecutor(backend.workers, "sod-worker", initializer=backend.start_worker)
    try:
        for _ in range(backend.workers):
            pool.submit(started.wait)
        started.wait()
    finally:
        started.abort()  # threads that still wait, because not all could start, would never end
    backend.workers_started()
    return pool


class _Trial:
    """Remembers the fastest setting; a later one replaces it only if it is 10 % faster.

    Attributes:
        best: The setting to use.
    """

    def __init__(self) -> None:
        self.best = 1
        self._best_rate, self._rate = 0.0, 0.0

    def timed(self, work: Work[T, R], group: Sequence[T]) -> list[R]:
        """Process a group and measure items per second."""
        start = time.perf_counter()
        answers = work(group) if group else []
        self._rate = len(group) / max(time.perf_counter() - start, 1e-9)
        return answers

    def keeps(self, setting: int, complete: bool) -> bool:
        """Return True if another setting is worth a try: this one was faster on a full group."""
        if self._best_rate and not (complete and self._rate >= _MIN_GAIN * self._best_rate):
            return False
        self.best, self._best_rate = setting, self._rate
        return complete


def _affordable(before: float, items: int) -> int:
    """Return how many items fit into memory; ``items`` items took it down from ``before`` bytes."""
    left = _free_bytes()
    taken = (before - left) / items
    return int(left / _MEMORY_SHARE / taken) if taken > 0 else _MAX_BATCH


def _free_bytes() -> float:
    """Return the available memory in bytes; 1 PiB if the system does not report it."""
    try:
        line = next(x for x in _MEMINFO.read_text().splitlines() if x.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 2.0**50
    return float(line.split()[1]) * 1024
