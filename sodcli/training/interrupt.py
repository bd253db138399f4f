"""Turn Ctrl-C and SIGTERM into a request that the training loop checks between steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class TrainingStopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """Raised between two steps, when the state can be saved."""


class StopRequest:
    """Records that a signal asked the run to stop.

    Attributes:
        wanted: Whether a signal arrived.
    """

    def __init__(self, *, deferred: bool) -> None:
        self.wanted = False
        self._deferred = deferred

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Record the first signal; the second one interrupts at once unless deferred."""
        if self.wanted and not self._deferred:
            raise KeyboardInterrupt
        self.wanted = True

    def check(self) -> None:
        """Raise if a signal arrived.

        Raises:
            TrainingStopped: If a signal arrived and stops are not deferred. A deferred stop waits
                for the next step, where all processes exchange their requests.
        """
        if self.wanted and not self._deferred:
            raise TrainingStopped


@contextmanager
def catch_stop_signals(*, deferred: bool) -> Iterator[StopRequest]:
    """Catch Ctrl-C and SIGTERM and record them in a :class:`StopRequest`.

    Outside the main thread Python delivers no signals, so nothing is recorded.

    Args:
        deferred: Do not interrupt a step on the second signal: ``torchrun`` forwards the Ctrl-C
            that the terminal has already sent to every process.
    """
    stop = StopRequest(deferred=deferred)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.receive) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
