"""A folder for work that takes a while, which a later run removes if its maker was killed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sodcli.files import locks
from sodcli.files.atomic import TEMPORARY

_LOCK = "lock"


@contextmanager
def workshop(folder: Path, kind: str) -> Iterator[Path]:
    """Give a new folder inside ``folder``, made if missing; it is removed at the end.

    What killed processes left of theirs in ``folder`` is removed first.

    Args:
        folder: Where to make it.
        kind: What is made in it: a word in its name.

    Raises:
        OSError: If it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"{TEMPORARY}{kind}-"  # hidden, so that it is nobody's input
    _sweep_dead(folder, prefix)
    own, lock = _locked(folder, prefix)
    try:
        with lock:
            yield own
    finally:
        _remove(own)


def _locked(folder: Path, prefix: str) -> tuple[Path, IO[bytes]]:
    """Make a folder with a lock in it; another one if it is swept before it is locked."""
    while True:
        own = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        try:
            lock = (own / _LOCK).open("xb")
        except FileNotFoundError:
            continue
        except BaseException:
            _remove(own)
            raise
        try:
            locks.take(lock.fileno())
        except BlockingIOError:
            lock.close()
            continue
        except OSError:  # no locks here, so nobody removes it
            return own, lock
        if (own / _LOCK).exists():
            return own, lock
        lock.close()


def _sweep_dead(folder: Path, prefix: str) -> None:
    """Remove the workshops in ``folder`` that no living process holds."""
    for left in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            try:
                lock = (left / _LOCK).open("rb+")
            except FileNotFoundError:
                left.rmdir()  # killed before it made its lock; one that holds anything stays
                continue
            with lock:
                free = locks.is_free(lock.fileno())
            if free:  # a program that its maker started may still be about to write into it
                _remove(left.rename(left.with_name(f"{left.name}-")))


def _remove(shop: Path) -> None:
    """Remove a workshop, its lock last: until then it can be told from one in the making."""
    with suppress(OSError):
        for path in shop.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)
        (shop / _LOCK).unlink(missing_ok=True)
        shop.rmdir()
