"""A folder for a film in the making, which a later run removes if its maker was killed."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = ".sod-film-"  # hidden, so that it is nobody's input
_LOCK: Final = "lock"


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """Give a new folder inside ``folder``, made if missing; it is removed at the end.

    What killed processes left of theirs in ``folder`` is removed first.

    Raises:
        OSError: If it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep_dead(folder)
    own = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
    try:
        with (own / _LOCK).open("wb") as lock:
            _try_lock(lock.fileno())
            yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def sweep_dead(folder: Path) -> None:
    """Remove the workshops in ``folder`` that no living process holds."""
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            with (left / _LOCK).open("rb+") as lock:
                held = not _try_lock(lock.fileno())
            if not held:
                shutil.rmtree(left, ignore_errors=True)


def _try_lock(handle: int) -> bool:
    """Lock an open file until it is closed or its process ends; false if another holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def put_in_place(made: Path, target: Path) -> None:
    """Move a finished file out of its workshop, onto its final name.

    Raises:
        OSError: If the disk cannot take it.
    """
    with made.open("rb+") as file:
        os.fsync(file.fileno())
    made.replace(target)
