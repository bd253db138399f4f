"""Let one process at a time do a thing, where the file system can tell them apart."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from sodcli.files import locks

_PAUSE: Final = 0.1  # seconds between two looks


@contextmanager
def alone(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock file ``path``; wait for another process that holds it.

    The system takes the lock back when a process dies, so nothing is ever left locked. The lock
    file itself stays.

    Args:
        path: The lock file; made if need be.
        waiting: Called once if there is somebody to wait for.

    Yields:
        Whether we are alone; ``False`` on a file system that has no locks.

    Raises:
        OSError: If the lock file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield _wait_for(file, waiting)


def _wait_for(file: IO[bytes], waiting: Callable[[], None]) -> bool:
    told = False
    while True:
        try:
            locks.take(file.fileno())
        except BlockingIOError:
            if not told:
                waiting()
            told = True
            time.sleep(_PAUSE)
        except OSError:
            return False
        else:
            return True
