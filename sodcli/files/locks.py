"""Locks that the system takes back when a process dies."""

import sys

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
