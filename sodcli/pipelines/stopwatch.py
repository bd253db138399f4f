"""Where the time of a run goes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up seconds by name, from its making on."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count the time of the block for ``name``; blocks must not lie in one another."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start

    def shares(self, *names: str) -> dict[str, float]:
        """Return each one's share of all time so far, and the ``rest``; 0 to 1."""
        total = time.perf_counter() - self._start
        shares = {name: self._seconds[name] / total for name in names}
        return shares | {"rest": max(0.0, 1 - sum(shares.values()))}
