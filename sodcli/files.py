"""Files appear whole or not at all, and are listed in the order people count in."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_TEMPORARY: Final = ".sod-"


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target``; rename it to ``target`` on success.

    The temporary file exists, is empty and keeps the target's suffix, so that
    writers that look at the name choose the right format. On any failure it is removed and
    ``target`` stays as it was.

    Args:
        target: Final name. Its folder is made if it does not exist.

    Raises:
        OSError: If the folder cannot be made or the file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=_TEMPORARY, suffix=target.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(_usual_mode())
        _flush(part)
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_whole(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target`` so that it appears whole.

    Raises:
        OSError: If it cannot be written; ``target`` is then as it was before.
    """
    with whole_file(target) as part:
        part.write_bytes(data)


def sweep(folder: Path) -> None:
    """Remove what a killed process left of files it had begun to write in ``folder``.

    Only where nobody else writes: a temporary file of a living process would go too.
    """
    for leftover in folder.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):
            leftover.unlink()


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts ``2.jpg`` before ``10.jpg``, the same on every system."""
    parts = re.split(r"(\d+)", text.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], text


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _usual_mode() -> int:
    """Return the permissions an ordinary new file would get (mkstemp gives 0600)."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
