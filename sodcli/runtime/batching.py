"""How many pictures the network takes at a time: found out on the first of them."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, runtime_checkable

from sodcli.errors import DeviceError

if TYPE_CHECKING:
    from sodcli.runtime.predictor import Predictor

T = TypeVar("T")
R = TypeVar("R")


def in_halves(work: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R]:
    """Return ``work(items)``, an answer per item; out of memory, the answers of two halves.

    Raises:
        DeviceError: If memory does not suffice even for one item.
    """
    if not items:
        return []
    try:
        return work(items)
    except DeviceError:
        if len(items) == 1:
            raise
    middle = len(items) // 2  # outside the handler, whose error would hold on to the memory
    return in_halves(work, items[:middle]) + in_halves(work, items[middle:])


Work = Callable[[Sequence[T]], list[R]]

_WORTH: Final = 1.1  # what taking twice as many has to bring
_MOST: Final = 16
_SPARE: Final = 4  # of the memory that is left no more than this part is put to use
_MEMORY: Final = Path("/proc/meminfo")


@runtime_checkable
class LaneBackend(Protocol):
    """A backend that several threads may call at once, each on a core of its own.

    For small networks on a processor that is faster than many threads at one picture: none of
    them waits for the others. Nor does a picture's answer depend on how many there are.

    Attributes:
        lanes: How many threads are of use; 1 where they would only be in each other's way.
    """

    lanes: int

    def enter_lane(self) -> None:
        """Prepare the calling thread; each calls this first."""
        ...

    def leave_lanes(self) -> None:
        """Let other threads, which begin later, be as they would have been."""
        ...


def paced(
    work: Work[T, R], items: Iterable[T], *, backend: object, batch: int | None
) -> Iterator[R]:
    """Yield what ``work`` makes of ``items``, in order.

    Args:
        work: Answers some items, one for each.
        items: Read lazily, no further ahead than is being worked on.
        backend: What ``work`` runs; see :class:`LaneBackend`. ``None`` takes items one by one.
        batch: Items per call. ``None`` finds out on the first of them, as far as memory goes. Where
            there are lanes: how many work side by side, at one item a call; all of them, unless
            half of them are a tenth faster. The answers do not depend on that. Else: how many items
            a call takes, twice as many as long as that brings a tenth.
    """
    rest = iter(items)
    if batch is not None or backend is None:
        return _steady(work, rest, batch or 1)
    head = list(islice(rest, 2))
    rest = chain(head, rest)
    if len(head) < 2:
        return _steady(work, rest, 1)
    if isinstance(backend, LaneBackend) and backend.lanes > 1:
        return _in_lanes(work, rest, backend)
    return _in_batches(work, rest)


def runner(predictor: "Predictor") -> object:
    """Return the backend for :func:`paced`; none where pictures are taken one by one anyway."""
    return predictor.backend if predictor.large is None else None


def _steady(work: Work[T, R], rest: Iterator[T], batch: int) -> Iterator[R]:
    while group := list(islice(rest, batch)):
        yield from work(group)


def _in_batches(work: Work[T, R], rest: Iterator[T]) -> Iterator[R]:
    trial, before, size = _Trial(), _left_bytes(), 1
    while size <= _MOST and size <= _room(before, max(1, size // 2)):
        yield from work(list(islice(rest, size)))  # the first of a size may be slow
        group = list(islice(rest, size))
        yield from trial.timed(work, group)
        if not trial.took(size, len(group) == size):
            break
        size *= 2
    yield from _steady(work, rest, trial.best)


def _in_lanes(work: Work[T, R], rest: Iterator[T], backend: LaneBackend) -> Iterator[R]:
    pool = _open_lanes(backend)
    trial, before = _Trial(), _left_bytes()
    try:
        yield from pool.submit(work, list(islice(rest, 1))).result()
        lanes = min(backend.lanes, _room(before, 1))
        while lanes > 1:
            group = list(islice(rest, 2 * lanes))
            yield from trial.timed(partial(_side_by_side, pool, work, lanes), group)
            if not trial.took(lanes, len(group) == 2 * lanes):
                break
            lanes //= 2
        if trial.best > 1:
            yield from _relayed(pool, work, rest, trial.best, ready=1)
    finally:
        pool.shutdown(cancel_futures=True)
    yield from _steady(work, rest, 1)


def _side_by_side(
    pool: ThreadPoolExecutor, work: Work[T, R], lanes: int, items: Sequence[T]
) -> list[R]:
    return list(_relayed(pool, work, items, lanes))


def _relayed(
    pool: ThreadPoolExecutor, work: Work[T, R], items: Iterable[T], lanes: int, ready: int = 0
) -> Iterator[R]:
    """Keep so many lanes busy, and so many items ready for the first lane that is free."""
    waiting: deque[Future[list[R]]] = deque()
    for item in items:
        waiting.append(pool.submit(work, [item]))
        if len(waiting) >= lanes + ready:
            yield from waiting.popleft().result()
    for answer in waiting:
        yield from answer.result()


def _open_lanes(backend: LaneBackend) -> ThreadPoolExecutor:
    """Return a pool whose threads are all there and prepared."""
    here = Barrier(backend.lanes + 1)
    pool = ThreadPoolExecutor(backend.lanes, "sod-lane", initializer=backend.enter_lane)
    for _ in range(backend.lanes):
        pool.submit(here.wait)
    here.wait()
    backend.leave_lanes()
    return pool


class _Trial:
    """Remembers what brought most; the first that is tried stays unless another is a tenth faster.

    Attributes:
        best: How many to take.
    """

    def __init__(self) -> None:
        self.best = 1
        self._rate, self._newest = 0.0, 0.0

    def timed(self, work: Work[T, R], group: Sequence[T]) -> list[R]:
        """Answer a group and measure how fast that is."""
        start = time.perf_counter()
        answers = work(group) if group else []
        self._newest = len(group) / max(time.perf_counter() - start, 1e-9)
        return answers

    def took(self, level: int, whole: bool) -> bool:
        """Say whether it was worth to have taken ``level``; not if the group was not whole."""
        if self._rate and not (whole and self._newest >= _WORTH * self._rate):
            return False
        self.best, self._rate = level, self._newest
        return whole


def _room(before: float, items: int) -> int:
    """Return how many items memory suffices for, ``items`` having taken what is gone since."""
    left = _left_bytes()
    taken = (before - left) / items
    return int(left / _SPARE / taken) if taken > 0 else _MOST


def _left_bytes() -> float:
    """Return how much memory could still be had; as good as endless if the system is silent."""
    try:
        line = next(x for x in _MEMORY.read_text().splitlines() if x.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 2.0**50
    return float(line.split()[1]) * 1024
