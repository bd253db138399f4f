"""Files appear whole or not at all, and what a killed process began is removed by the next one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sodcli.files import locks

TEMPORARY: Final = ".sod-"  # how the names of unfinished files and folders begin
_WINDOWS: Final = os.name == "nt"  # neither renames nor removes what is open, and locks keep out
_swept: set[Path] = set()  # folders where this process has looked for leftovers


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target``; rename it to ``target`` on success.

    The temporary file exists, is empty and keeps the target's suffix, so that
    writers that look at the name choose the right format. On any failure it is removed and
    ``target`` stays as it was. It is locked while it is written: what lies unlocked in the folder
    when a process writes there for the first time was left by a killed one, and is removed.

    Args:
        target: Final name. Its folder is made if it does not exist.

    Raises:
        OSError: If the folder cannot be made or the file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not _WINDOWS and target.parent not in _swept:
        _swept.add(target.parent)
        sweep(target.parent)
    handle, part = _temporary(target)
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


def write_whole(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target`` so that it appears whole.

    Raises:
        OSError: If it cannot be written; ``target`` is then as it was before.
    """
    with whole_file(target) as part:
        part.write_bytes(data)


def sweep(folder: Path) -> None:
    """Remove what killed processes left of files they had begun to write in ``folder``.

    What a living process holds stays, and so does everything where there are no locks. On Windows,
    only where nobody else writes: what is just being renamed would go, too.
    """
    with suppress(OSError):
        for leftover in folder.glob(f"{TEMPORARY}*"):
            with suppress(OSError):
                _remove_unheld(leftover)


def _temporary(target: Path) -> tuple[int | None, Path]:
    """Make the temporary file of ``target``; return what holds its lock, and its path."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=TEMPORARY, suffix=target.suffix)
        if _WINDOWS:
            os.close(handle)
            return None, Path(name)
        try:
            locks.take(handle)
        except BlockingIOError:  # another process takes it for a leftover at this very moment
            os.close(handle)
            continue
        except OSError:  # no locks here, so nobody else removes it either
            return handle, Path(name)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)


def _remove_unheld(path: Path) -> None:
    if path.is_symlink() or not path.is_file():  # opening a FIFO would wait for ever
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
    """Return the permissions an ordinary new file would get (mkstemp gives 0600)."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
