"""Files and folders that appear whole or not at all; leftovers of killed processes are removed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from sodcli.errors import SinkError
from sodcli.files import locks
from sodcli.text import display_name, reason_of

TEMPORARY: Final = ".sod-"  # first characters of the names of unfinished files and folders
_LOCK: Final = "lock"  # the lock file inside a temporary folder
_WINDOWS: Final = os.name == "nt"  # cannot rename or remove open files; its locks block reading
_swept: set[Path] = set()  # folders in which this process has removed leftovers


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` and rename it to ``target`` on success.

    The temporary file exists, is empty and has the target's suffix, so that writers that look at
    the name choose the right format. On any failure it is removed and ``target`` stays as it was.
    It is locked while it is written. When a process writes into a folder for the first time, the
    unlocked temporary files there belong to killed processes and are removed.

    Args:
        target: Final name. Its folder is made if it does not exist.

    Raises:
        SinkError: If the folder cannot be made or the file cannot be written. An ``OSError`` of
            the body counts as such.
    """
    try:
        with _renamed_at_the_end(target) as part:
            yield part
    except OSError as error:
        raise SinkError(f"cannot write {display_name(target)}: {reason_of(error)}") from error


def write_whole(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target`` so that it appears whole.

    Raises:
        SinkError: If it cannot be written; ``target`` is then as it was before.
    """
    with whole_file(target) as part:
        part.write_bytes(data)


def sweep(folder: Path) -> None:
    """Remove the unfinished files that killed processes left in ``folder``.

    Files that a living process has locked stay, and all files stay on a file system without locks.
    On Windows call it only where no other process writes: files about to be renamed are not locked.
    """
    with suppress(OSError):
        for leftover in folder.glob(f"{TEMPORARY}*"):
            with suppress(OSError):
                _remove_unlocked(leftover)


@contextmanager
def temporary_folder(folder: Path, kind: str) -> Iterator[Path]:
    """Yield a new folder inside ``folder``, which is made if missing; remove it at the end.

    Folders of the same kind that killed processes left in ``folder`` are removed first.

    Args:
        folder: Where to make it.
        kind: What it is for: a word in its name.

    Raises:
        OSError: If it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"{TEMPORARY}{kind}-"  # hidden, so that no command takes it for input
    _remove_dead_folders(folder, prefix)
    own, lock = _locked_folder(folder, prefix)
    try:
        with lock:
            yield own
    finally:
        _remove_folder(own)


@contextmanager
def _renamed_at_the_end(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not _WINDOWS and target.parent not in _swept:
        _swept.add(target.parent)
        sweep(target.parent)
    handle, part = _temporary_file(target)
    try:
        yield part
        part.chmod(_usual_mode())
        _flush(part)
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    finally:
        if handle is not None:
            os.close(handle)


def _temporary_file(target: Path) -> tuple[int | None, Path]:
    """Make the temporary file of ``target``; return the handle with its lock, and its path."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=TEMPORARY, suffix=target.suffix)
        if _WINDOWS:
            os.close(handle)
            return None, Path(name)
        try:
            locks.take(handle)
        except BlockingIOError:  # another process is removing it as a leftover
            os.close(handle)
            continue
        except OSError:  # no locks on this file system, so no process removes it
            return handle, Path(name)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)


def _remove_unlocked(path: Path) -> None:
    if path.is_symlink() or not path.is_file():  # opening a FIFO would block
        return
    if _WINDOWS:
        path.unlink()
        return
    with path.open("rb+") as file:
        if locks.is_free(file.fileno()):
            path.unlink()


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _usual_mode() -> int:
    """Return the permissions of an ordinary new file (``mkstemp`` gives 0600)."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _locked_folder(folder: Path, prefix: str) -> tuple[Path, IO[bytes]]:
    """Make a folder with a locked file in it; repeat if another process removes it in between."""
    while True:
        own = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        try:
            lock = (own / _LOCK).open("xb")
        except FileNotFoundError:
            continue
        except BaseException:
            _remove_folder(own)
            raise
        try:
            locks.take(lock.fileno())
        except BlockingIOError:
            lock.close()
            continue
        except OSError:  # no locks on this file system, so no process removes it
            return own, lock
        if (own / _LOCK).exists():
            return own, lock
        lock.close()


def _remove_dead_folders(folder: Path, prefix: str) -> None:
    """Remove the temporary folders in ``folder`` that no living process has locked."""
    for left in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            try:
                lock = (left / _LOCK).open("rb+")
            except FileNotFoundError:
                left.rmdir()  # killed before it made its lock; fails, as it should, unless empty
                continue
            with lock:
                free = locks.is_free(lock.fileno())
            if free:  # renamed first: a child of the killed process may still write by the old name
                _remove_folder(left.rename(left.with_name(f"{left.name}-")))


def _remove_folder(folder: Path) -> None:
    """Remove a temporary folder, its lock file last: without one it looks newly made."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()
