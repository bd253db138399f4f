"""Locks on files, so that one process at a time does a thing where the file system allows."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def take(handle: int) -> None:
        """Lock an open file until it is closed or its process ends.

        Raises:
            BlockingIOError: If another process holds it.
            OSError: If the file system has no locks.
        """
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
else:
    import fcntl

    def take(handle: int) -> None:
        """Lock an open file until it is closed or its process ends.

        Raises:
            BlockingIOError: If another process holds it.
            OSError: If the file system has no locks.
        """
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_free(handle: int) -> bool:
    """Lock an open file; false if another process holds it, or nobody can tell."""
    try:
        take(handle)
    except OSError:
        return False
    return True


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
            take(file.fileno())
        except BlockingIOError:
            if not told:
                waiting()
            told = True
            time.sleep(_PAUSE)
        except OSError:
            return False
        else:
            return True
