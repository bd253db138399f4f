"""HEIC, what iPhones photograph in: read where the package pillow-heif is installed."""

import re
from importlib.util import find_spec
from typing import Final

from PIL.ImageFile import ImageFile

from sodcli.errors import SourceError

SUFFIXES: Final = frozenset((".heic", ".heif", ".hif"))
_PACKAGE: Final = "pillow_heif"
_HEAD: Final = re.compile(rb".{4}ftyp(?:hei[cmsx]|mif1)", re.DOTALL)


def readable() -> bool:
    """Say whether the package is installed."""
    return find_spec(_PACKAGE) is not None


def begins_heic(head: bytes) -> bool:
    """Say whether a file that begins like this is HEIC; AVIF may begin like this, too."""
    return _HEAD.match(head) is not None


def heic_reader(label: str) -> type[ImageFile]:
    """Return Pillow's reader of HEIC, which turns pictures upright by itself.

    Raises:
        SourceError: If the package is not installed.
    """
    if not readable():
        raise SourceError(
            f"{label}: not a picture sod can read without pillow-heif;"
            " run: pip install pillow-heif, or convert it to JPEG first"
        )
    from pillow_heif import HeifImageFile

    reader: type[ImageFile] = HeifImageFile
    return reader
