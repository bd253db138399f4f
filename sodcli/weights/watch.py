"""How a download tells what it is doing, and how long it waits; without the network's modules."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watch:
    """How a download tells what it is doing; silent by default.

    Attributes:
        progress: Called with the bytes that are here and the size of the whole, if known.
        note: Called with a line on what happens (a break, another process at work).
    """

    progress: Callable[[int, int | None], None] = lambda _have, _total: None
    note: Callable[[str], None] = lambda _text: None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        timeout: Seconds without a byte after which a request has failed.
        window: Seconds within which at least ``slowest`` bytes must come.
        slowest: See ``window``.
        attempts: Requests in a row that may bring nothing new.
        longest_wait: Seconds to wait at most before asking again.
        sleep: What waits.
    """

    timeout: float = 30.0
    window: float = 30.0
    slowest: int = 30 * 1024
    attempts: int = 4
    longest_wait: float = 60.0
    sleep: Callable[[float], None] = time.sleep
