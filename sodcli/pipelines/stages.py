"""Read, work and write at the same time without ever hanging."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeVar

from sodcli.errors import PipelineError

T = TypeVar("T")
_POLL_S: Final = 0.1
_END: Final = object()


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


class Writer:
    """Run ``write`` in a thread behind a bounded queue; a context manager.

    The first failure stops the thread and is raised from the next ``put`` or
    from leaving the ``with`` block, unless another error is already on its way.
    """

    def __init__(self, write: Callable[[object], None], size: int = 8) -> None:
        self._write = write
        self._box: queue.Queue[object] = queue.Queue(maxsize=size)
        self._failure: BaseException | None = None
        self._abort = threading.Event()
        self._thread = threading.Thread(target=self._drain, name="sod-writer", daemon=True)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def put(self, item: object) -> None:
        """Queue ``item``; waits while the queue is full."""
        while True:
            if self._failure is not None:
                raise PipelineError(f"writing failed: {self._failure}") from self._failure
            try:
                return self._box.put(item, timeout=_POLL_S)
            except queue.Full:
                continue

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.put(_END)
        else:
            self._abort.set()
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
                self._write(item)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._failure = error
