"""Tell films from pictures by how their files begin."""

import re
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from sodcli.errors import SourceError
from sodcli.io.decode import DAMAGE, HEAD_BYTES, reader_of
from sodcli.io.search import FILM_SUFFIXES

Kind = Literal["picture", "film"]

_FILM_HEADS: Final = re.compile(
    rb".{4}ftyp(?!hei|mif1|msf1|avi|crx)"  # MP4, QuickTime, 3GP; not HEIC, AVIF, CR3
    rb"|.{4}(moov|mdat|wide|free)"  # old QuickTime
    rb"|RIFF.{4}AVI |\x1a\x45\xdf\xa3|OggS|FLV\x01|\0\0\x01\xba|\x30\x26\xb2\x75",
    re.DOTALL,
)
_APNG: Final = re.compile(rb"\x89PNG\r\n\x1a\n.*acTL", re.DOTALL)


def kind_of(path: Path) -> Kind:
    """Say what a file is, by its content; one that cannot be read or recognised, by its suffix.

    GIFs of more than one frame and APNGs are films. Animated WebP counts as a picture, its first
    frame, since not every ffmpeg reads it.
    """
    head = _head(path)
    if _FILM_HEADS.match(head) or _APNG.match(head):
        return "film"
    if head.startswith(b"GIF8"):
        return "film" if _moves(path) else "picture"
    by_name: Kind = "film" if path.suffix.lower() in FILM_SUFFIXES else "picture"
    try:
        reader_of(head, path.name)
    except SourceError:
        return by_name
    return "picture"


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():  # opening a FIFO would wait for ever
            return b""
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def _moves(path: Path) -> bool:
    try:
        with GifImageFile(path) as image:
            return bool(image.is_animated)
    except (*DAMAGE, Image.DecompressionBombError):
        return False
