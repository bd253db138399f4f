"""File locks, which the operating system releases when a process ends."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def take(handle: int) -> None:
        """Lock an open file until it is closed or the process ends.

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
        """Lock an open file until it is closed or the process ends.

        Raises:
            BlockingIOError: If another process holds it.
            OSError: If the file system has no locks.
        """
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_free(handle: int) -> bool:
    """Lock an open file; return False if another process holds it or there are no locks."""
    try:
        take(handle)
    except OSError:
        return False
    return True


_PAUSE: Final = 0.1  # seconds between two attempts


@contextmanager
def file_lock(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock file ``path``, after waiting for the process that holds it.

    The operating system releases the lock of a process that dies. The lock file itself stays.

    Args:
        path: The lock file; created if it does not exist.
        waiting: Called once if another process holds the lock.

    Yields:
        Whether the lock is held; ``False`` on a file system without locks.

    Raises:
        OSError: If the lock file cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield _wait_for(file, waiting)


def _wait_for(file: IO[bytes], waiting: Callable[[], None]) -> bool:
    reported = False
    while True:
        try:
            take(file.fileno())
        except BlockingIOError:
            if not reported:
                waiting()
            reported = True
            time.sleep(_PAUSE)
        except OSError:
            return False
        else:
            return True
