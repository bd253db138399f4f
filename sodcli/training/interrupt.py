"""Stop between two steps, not in the middle of one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):  # noqa: N818 - not an error: somebody wished it
    """The run leaves off between two steps, in a state that can be saved."""


class StopWish:
    """Whether somebody asked the run to stop."""

    def __init__(self, *, patient: bool) -> None:
        self.wanted = False
        self._patient = patient

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Note the first request; unless patient, the second interrupts at once."""
        if self.wanted and not self._patient:
            raise KeyboardInterrupt
        self.wanted = True

    def check(self) -> None:
        """Leave off where a single process works on its own.

        Raises:
            Stopped: If somebody asked for it. A patient wish waits for the next step, where all
                processes learn of it.
        """
        if self.wanted and not self._patient:
            raise Stopped


@contextmanager
def stop_wish(*, patient: bool) -> Iterator[StopWish]:
    """Collect Ctrl-C and SIGTERM instead of being interrupted by them.

    Outside the main thread, where Python delivers no signals, the wish never comes.

    Args:
        patient: Let no number of signals interrupt a step. A launcher passes on the Ctrl-C that
            the terminal has sent to every process already.
    """
    wish = StopWish(patient=patient)
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.signal(number, wish.receive) for number in _SIGNALS}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
