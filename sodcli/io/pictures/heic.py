"""HEIC, the photo format of iPhones; reading it needs the package pillow-heif."""

import re
from importlib.util import find_spec
from typing import Final

from PIL.ImageFile import ImageFile

from sodcli.errors import SourceError

SUFFIXES: Final = frozenset((".heic", ".heif", ".hif"))
_PACKAGE: Final = "pillow_heif"
_HEAD: Final = re.compile(rb".{4}ftyp(?:hei[cmsx]|mif1)", re.DOTALL)


def readable() -> bool:
    """Return True if pillow-heif is installed."""
    return find_spec(_PACKAGE) is not None


def begins_heic(head: bytes) -> bool:
    """Return True if a file with these first bytes is HEIC, or possibly AVIF."""
    return _HEAD.match(head) is not None


def heic_reader(label: str) -> type[ImageFile]:
    """Return the Pillow class that reads HEIC; it applies the orientation itself.

    Args:
        label: The name of the file in messages.

    Raises:
        SourceError: If pillow-heif is not installed.
    """
    if not readable():
        raise SourceError(
            f"{label}: not a picture sod can read without pillow-heif;"
            " run: pip install pillow-heif, or convert it to JPEG first"
        )
    from pillow_heif import HeifImageFile

    reader: type[ImageFile] = HeifImageFile
    return reader
