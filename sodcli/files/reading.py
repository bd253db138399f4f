"""Names of files, and reading those that somebody names; never endless or too large."""

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

MAX_PIXELS: Final = 178_956_970  # from where on Pillow, too, speaks of a decompression bomb
MAX_BYTES: Final = 2**31  # more than any picture under MAX_PIXELS takes, 16-bit RGBA included


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts ``2.jpg`` before ``10.jpg``, the same on every system."""
    parts = re.split(r"(\d+)", text.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], text


def own_name(folder: Path) -> str:
    """Return what a folder is called where it lies, which for a link is the name of the link."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def user_path(name: str | Path) -> Path:
    """Return a path as it was typed, ``~`` standing for a home; the home of nobody is a name."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


_SETTINGS_BYTES: Final = 2**24  # more than any file of settings has


def read_settings(path: Path) -> str:
    """Return the text of a small UTF-8 file.

    Raises:
        OSError: As :func:`read_regular`, or if it is too large for settings.
        UnicodeDecodeError: If it is not UTF-8.
    """
    return read_regular(path, _SETTINGS_BYTES).decode("utf-8")


def read_regular(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file of at most ``most`` bytes.

    Raises:
        OSError: If it cannot be read, is larger, or is no regular file: one would wait for a FIFO
            for ever, and a device may never end.
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
