"""Names of files, and bounded reading of files that a user names."""

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

MAX_PIXELS: Final = 178_956_970  # Pillow's own limit against decompression bombs
MAX_BYTES: Final = 2**31  # more than any picture of MAX_PIXELS takes, 16-bit RGBA included


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts ``2.jpg`` before ``10.jpg``, the same on every system."""
    parts = re.split(r"(\d+)", text.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], text


def own_name(folder: Path) -> str:
    """Return the name of a folder, of a symbolic link the link's own name."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def user_path(name: str | Path) -> Path:
    """Return a path as typed, with ``~`` expanded; ``~nobody`` stays as it is."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


_SETTINGS_BYTES: Final = 2**24  # more than any settings file has


def read_settings(path: Path) -> str:
    """Return the text of a small UTF-8 file.

    Raises:
        OSError: As :func:`read_regular`, or if it is over 16 MiB.
        UnicodeDecodeError: If it is not UTF-8.
    """
    return read_regular(path, _SETTINGS_BYTES).decode("utf-8")


def read_regular(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file of at most ``most`` bytes.

    Raises:
        OSError: If it cannot be read, is larger, or is not a regular file: reading a FIFO would
            block, and a device may never end.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data
