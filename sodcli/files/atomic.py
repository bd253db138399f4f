"""Atomic writes and temporary folders; leftovers of killed processes are removed."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Final

from sodcli.errors import SinkError
from sodcli.files import locks
from sodcli.text import display_name, reason_of

TEMPORARY: Final = ".sod-"  # prefix of the names of unfinished files and folders
_LOCK: Final = "lock"  # the lock file inside a temporary folder
_WINDOWS: Final = os.name == "nt"  # cannot rename or remove open files; its locks block reading
_NEW_FILE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL
_swept: set[Path] = set()  # folders in which this process has removed leftovers


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` and rename it to ``target`` on success.

    The temporary file exists, is empty and has the target's suffix, because some writers choose
    the format by it. On any failure it is removed and ``target`` is unchanged. It is locked while
    it is written. When a process first writes into a folder, it removes the unlocked temporary
    files there, which belong to killed processes. Windows has neither these locks nor the removal.

    Args:
        target: Final path. Its folder is created if it does not exist.

    Raises:
        SinkError: If the folder cannot be created, the file cannot be written, or ``target`` is a
            device or FIFO. An ``OSError`` raised in the body is converted.
    """
    try:
        with _renamed_at_the_end(target) as part:
            yield part
    except OSError as error:
        raise SinkError(f"cannot write {display_name(target)}: {reason_of(error)}") from error


def write_whole(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target`` atomically.

    Raises:
        SinkError: If it cannot be written; ``target`` is then unchanged.
    """
    with whole_file(target) as part:
        part.write_bytes(data)


def sweep(folder: Path) -> None:
    """Remove the unfinished files that killed processes left in ``folder``.

    Files locked by a running process are kept; on a file system without locks, all files are kept.
    On Windows, call it only if no other process writes into ``folder``: files are unlocked just
    before they are renamed.
    """
    with suppress(OSError):
        for leftover in folder.glob(f"{TEMPORARY}*"):
            with suppress(OSError):
                _remove_unlocked(leftover)


@contextmanager
def temporary_folder(folder: Path, kind: str) -> Iterator[Path]:
    """Yield a new temporary folder inside ``folder``; remove it at the end.

    Folders of the same kind that killed processes left in ``folder`` are removed first.

    Args:
        folder: Parent folder; created if missing.
        kind: Purpose, a word in the folder's name.

    Raises:
        OSError: If it cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"{TEMPORARY}{kind}-"  # hidden, so that no command reads it as input
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
    if target.exists() and not (target.is_file() or target.is_dir()):  # /dev/null would be lost
        raise OSError(errno.EINVAL, "Not a regular file")
    if not _WINDOWS and target.parent not in _swept:
        _swept.add(target.parent)
        sweep(target.parent)
    handle, part = _temporary_file(target)
    try:
        yield part
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
    """Create the temporary file of ``target``; return the locked handle, if any, and its path."""
    while True:
        # Absolute: ffmpeg reads the beginning of a relative path like a:b/c as a protocol. Files of
        # mkstemp would have mode 0600.
        part = target.absolute().with_name(f"{TEMPORARY}{token_hex(8)}{target.suffix}")
        handle = os.open(part, _NEW_FILE, 0o666)
        if _WINDOWS:
            os.close(handle)
            return None, part
        try:
            locks.take(handle)
        except BlockingIOError:  # another process is removing it as a leftover
            os.close(handle)
            continue
        except OSError:  # no locks on this file system, so no process removes it
            return handle, part
        if os.fstat(handle).st_nlink:
            return handle, part
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


def _locked_folder(folder: Path, prefix: str) -> tuple[Path, IO[bytes]]:
    """Create a folder with a locked file; retry if another process removes it meanwhile."""
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
    """Remove the temporary folders in ``folder`` that no running process has locked."""
    for left in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            try:
                lock = (left / _LOCK).open("rb+")
            except FileNotFoundError:
                left.rmdir()  # process killed before it created the lock; fails unless empty
                continue
            with lock:
                if not locks.is_free(lock.fileno()):
                    continue
                if not _WINDOWS:  # a child of the killed process may still use the old name
                    left = left.rename(left.with_name(f"{left.name}-"))
            _remove_folder(left)


def _remove_folder(folder: Path) -> None:
    """Remove a temporary folder, its lock file last: a folder without one counts as new."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()
