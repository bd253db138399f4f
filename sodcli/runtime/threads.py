"""Threads and queues to read, compute and write at the same time, without deadlocks."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

import cv2

from sodcli.errors import PipelineError, SodError
from sodcli.runtime.device import thread_count

T = TypeVar("T")
R = TypeVar("R")
_POLL_S: Final = 0.1
_END: Final = object()
_MOST_THREADS: Final = 4  # each holds a picture in memory
_opencv_lock: Final = threading.Lock()
_opencv_before: Final[list[int]] = []  # OpenCV's threads as each use in progress found them


class Newest(Generic[T]):
    """A queue between two threads that drops its oldest item when it is full."""

    def __init__(self, size: int = 1) -> None:
        """Create an empty queue for ``size`` items."""
        self._items: deque[T] = deque(maxlen=size)
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Add an item; never waits."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def close(self) -> None:
        """Close the queue to new items; items already in it can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(self, timeout_s: float | None = None) -> T | None:
        """Take the oldest item; ``None`` after the timeout, or if the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            return self._items.popleft() if self._items else None


def raise_failure(error: BaseException | None, what: str) -> None:
    """Raise the error that ended another thread; ``what`` describes the task of that thread.

    Raises:
        SodError: If ``error`` is not ``None``: ``error`` itself, or a :class:`.PipelineError` if it
            is of another type.
    """
    if isinstance(error, SodError):
        raise error
    if error is not None:
        raise PipelineError(f"{what} failed: {error}") from error


def picture_threads() -> int:
    """Return the number of threads that read or render pictures while the network runs."""
    return min(_MOST_THREADS, thread_count())


class _Bounded:
    """A bounded queue between two threads that Ctrl-C cannot leave locked.

    A ``queue.Queue`` stays locked if the interrupt arrives while its lock is released; a
    ``SimpleQueue``, which has no bound, does not.
    """

    def __init__(self, size: int) -> None:
        self._items: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()  # an item for each free place
        for _ in range(size):
            self._room.put(None)

    def put(self, item: object) -> bool:
        """Add an item; return False if there is no room for 0.1 s."""
        try:
            self._room.get(timeout=_POLL_S)
        except queue.Empty:
            return False
        self._items.put(item)
        return True

    def end(self) -> None:
        """Add ``_END``, which needs no room."""
        self._items.put(_END)

    def get(self) -> object:
        """Take the oldest item; waits for one."""
        item = self._items.get()
        self._room.put(None)
        return item


def prefetch(items: Iterable[T], size: int) -> Generator[T, None, None]:
    """Yield ``items`` while a thread stays up to ``size`` ahead.

    Leaving the loop stops the thread.

    Raises:
        SodError: If iterating ``items`` failed, see :func:`raise_failure`.
    """
    box = _Bounded(size)
    stop = threading.Event()
    failure: list[BaseException] = []

    def put(item: object) -> None:
        while not stop.is_set() and not box.put(item):
            pass

    def pump() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised in the consumer below
            failure.append(error)
        finally:
            box.end()

    thread = threading.Thread(target=pump, name="sod-prefetch", daemon=True)
    thread.start()
    try:
        while (item := box.get()) is not _END:
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
    raise_failure(failure[0] if failure else None, "reading")


def ordered(work: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Yield ``work(item)`` for each of ``items``, in order; ``threads`` threads work ahead.

    At most ``threads + 2`` results are pending. Leaving the loop ends each thread as soon as it has
    finished its current item.

    Raises:
        SodError: If ``work`` failed, see :func:`raise_failure`; other pending results are dropped.
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="sod-reader")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads + 1:
                yield _read_result(waiting.popleft())
        while waiting:
            yield _read_result(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _read_result(future: Future[R]) -> R:
    raise_failure(future.exception(), "reading")
    return future.result()


@contextmanager
def opencv_in_line() -> Iterator[None]:
    """Run OpenCV's functions in the calling thread only, until the context ends.

    Our threads use all cores already; OpenCV's own thread pool would compete for them. Of uses that
    overlap in several threads, the last one to end restores the number that the first one found.
    """
    with _opencv_lock:
        _opencv_before.append(cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _opencv_lock:
            cv2.setNumThreads(_opencv_before.pop())


class Writer:
    """Run ``write`` in a thread, fed by a bounded queue; a context manager.

    With ``prepare``, a thread pool applies it to each item, and ``write`` receives the results in
    the order of the items. The first error stops the thread and is raised by :func:`raise_failure`
    at the next ``put`` or the end of the ``with`` block, unless another one is being raised.
    """

    def __init__(
        self,
        write: Callable[[object], None],
        size: int,
        *,
        prepare: Callable[[object], object] | None = None,
        threads: int = 1,
    ) -> None:
        self._write, self._prepare = write, prepare
        self._box = _Bounded(size)
        self._failure: BaseException | None = None
        self._abort = threading.Event()
        self._thread = threading.Thread(target=self._drain, name="sod-writer", daemon=True)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sod-preparer")

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def put(self, item: object) -> None:
        """Queue ``item``; waits while the queue is full."""
        if self._prepare is not None:
            item = self._pool.submit(self._prepare, item)
        placed = False
        while not placed:
            raise_failure(self._failure, "writing")
            placed = self._box.put(item)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None or self._failure is not None:
            self._abort.set()
        self._box.end()
        self._pool.shutdown(cancel_futures=self._abort.is_set())
        self._thread.join()
        if kind is None:
            raise_failure(self._failure, "writing")

    def _drain(self) -> None:
        try:
            while (item := self._box.get()) is not _END and not self._abort.is_set():
                self._write(item.result() if isinstance(item, Future) else item)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._failure = error
