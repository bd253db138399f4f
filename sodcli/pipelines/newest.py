"""A short queue that drops what nobody took in time."""

import threading
from collections import deque
from typing import Generic, TypeVar

from sodcli.errors import PipelineError, SodError

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
