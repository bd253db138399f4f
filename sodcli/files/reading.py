"""Read files that somebody names, without waiting for ever or filling the memory."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

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
