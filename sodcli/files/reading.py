"""File names, and size-limited reading of user files."""

import errno
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO, Final

MAX_PIXELS: Final = 178_956_970  # Pillow's own limit against decompression bombs
MAX_BYTES: Final = 2**31  # above the size of any picture of MAX_PIXELS, including 16-bit RGBA
_SETTINGS_BYTES: Final = 2**24  # larger than any settings file


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return a sort key that orders ``2.jpg`` before ``10.jpg``, the same on every system."""
    parts = re.split(r"(\d+)", text.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], text


def own_name(folder: Path) -> str:
    """Return the name of a folder; for a symbolic link, the name of the link."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def user_path(name: str | Path) -> Path:
    """Return a path with ``~`` expanded; ``~USER`` of an unknown user is unchanged."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def read_settings(path: Path) -> str:
    """Return the text of a small UTF-8 file.

    Raises:
        OSError: As in :func:`read_regular`, or if it is larger than 16 MiB.
        UnicodeDecodeError: If it is not UTF-8.
    """
    return read_regular(path, _SETTINGS_BYTES).decode("utf-8")


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        OSError: If it cannot be opened, or is not a regular file: reading a FIFO would block, and a
            device may never end.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return path.open("rb")


def read_regular(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file of at most ``most`` bytes.

    Raises:
        OSError: As in :func:`open_regular`, or if it cannot be read or is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        # With a size, Python reserves that much memory first.
        data = file.read() if size <= most else b""
    if max(size, len(data)) > most:  # the file may have grown meanwhile
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data
