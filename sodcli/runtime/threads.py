"""Read, work and write at the same time without ever hanging."""

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


class Newest(Generic[T]):
    """Hand the newest items from one thread to another; when it is full, the oldest gives way."""

    def __init__(self, size: int = 1) -> None:
        """Make an empty queue for ``size`` items."""
        self._items: deque[T] = deque(maxlen=size)
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Add an item; never waits."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def close(self) -> None:
        """Say that nothing more will come; what is in the queue can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(self, timeout_s: float | None = None) -> T | None:
        """Take the oldest item; ``None`` if the time is over or nothing will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            return self._items.popleft() if self._items else None


def raise_failure(error: BaseException | None, what: str) -> None:
    """Raise in this thread what ended another one; ``what`` says what that one was doing.

    Raises:
        SodError: If there was an error; a ``PipelineError`` if it was none of ours.
    """
    if isinstance(error, SodError):
        raise error
    if error is not None:
        raise PipelineError(f"{what} failed: {error}") from error


R = TypeVar("R")
_POLL_S: Final = 0.1
_END: Final = object()
_MOST_HANDS: Final = 4  # each holds a picture in memory


def helping_hands() -> int:
    """Return how many threads are worth having to read, or to draw, beside the network."""
    return min(_MOST_HANDS, thread_count())


def prefetch(items: Iterable[T], size: int = 8) -> Generator[T, None, None]:
    """Yield ``items`` while a thread stays up to ``size`` ahead.

    A failure in the thread is raised here; leaving the loop stops the thread.

    Raises:
        PipelineError: If iterating ``items`` failed.
    """
    box: queue.Queue[object] = queue.Queue(maxsize=size)
    stop = threading.Event()
    failure: list[BaseException] = []

    def put(item: object) -> None:
        while not stop.is_set():
            try:
                return box.put(item, timeout=_POLL_S)
            except queue.Full:
                continue

    def pump() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the consumer below
            failure.append(error)
        finally:
            put(_END)

    thread = threading.Thread(target=pump, name="sod-prefetch", daemon=True)
    thread.start()
    try:
        while (item := box.get()) is not _END:
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
    if failure:
        raise PipelineError(f"reading failed: {failure[0]}") from failure[0]


def ordered(work: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Yield ``work(item)`` for each of ``items``, in order, while ``threads`` do it ahead.

    At most two results more than there are threads wait to be taken. Leaving the loop ends the
    threads as soon as each has finished what it is at.

    Raises:
        PipelineError: If ``work`` failed; what else was begun is dropped.
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
    try:
        return future.result()
    except Exception as error:
        raise PipelineError(f"reading failed: {error}") from error


@contextmanager
def opencv_in_line() -> Iterator[None]:
    """Keep OpenCV's functions in the thread that calls them, for as long as threads work here.

    Its own pool of threads would only wait for the same cores.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


class Writer:
    """Run ``write`` in a thread behind a bounded queue; a context manager.

    With ``prepare``, a pool of threads makes of each item what ``write`` then gets, in the order
    of the items. The first failure stops the thread and is raised from the next ``put`` or
    from leaving the ``with`` block, unless another error is already on its way.
    """

    def __init__(
        self,
        write: Callable[[object], None],
        size: int = 8,
        *,
        prepare: Callable[[object], object] | None = None,
        threads: int = 1,
    ) -> None:
        self._write, self._prepare = write, prepare
        self._box: queue.Queue[object] = queue.Queue(maxsize=size)
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
        self._queue(item)

    def _queue(self, item: object) -> None:
        while True:
            if self._failure is not None:
                raise PipelineError(f"writing failed: {self._failure}") from self._failure
            try:
                return self._box.put(item, timeout=_POLL_S)
            except queue.Full:
                continue

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._queue(_END)
        finally:
            if kind is not None or self._failure is not None:
                self._abort.set()
            self._pool.shutdown(cancel_futures=self._abort.is_set())
            self._thread.join()
        if kind is None and self._failure is not None:
            raise PipelineError(f"writing failed: {self._failure}") from self._failure

    def _drain(self) -> None:
        try:
            while not self._abort.is_set():
                try:
                    item = self._box.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                if item is _END:
                    return
                self._write(item.result() if isinstance(item, Future) else item)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._failure = error
