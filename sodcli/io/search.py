"""Find pictures and films in folders, and files by globs."""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sodcli.errors import SourceError
from sodcli.files import natural_key
from sodcli.io.pictures import shown

PICTURE_SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif")
)
FILM_SUFFIXES: Final = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts"),
        *(".m2ts", ".wmv", ".flv", ".3gp", ".ogv", ".apng"),
    )
)
_SUFFIXES: Final = PICTURE_SUFFIXES | FILM_SUFFIXES


def media_in(folder: Path, recursive: bool) -> list[Path]:
    """List a folder's pictures and films by suffix, ``2.jpg`` before ``10.jpg``.

    Hidden names are left out, and with them temporary files of our own.

    Raises:
        SourceError: If there is none, or a folder cannot be listed.
    """
    found = [
        Path(at, name)
        for at, names in _walk(folder, recursive)
        for name in names
        if Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")
    ]
    if not found:
        hint = "" if recursive else "; -r looks into its sub-folders"
        raise SourceError(f"{shown(folder)}: no pictures or films in this folder{hint}")
    return sorted(found, key=_natural)


def _walk(folder: Path | str, recursive: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield folders with the names of their files, without hidden folders.

    Links to folders are not followed, so that no loop of links can hold the walk.
    """
    for at, folders, files in os.walk(folder, onerror=_cannot_list):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        yield at, files


def _cannot_list(error: OSError) -> None:
    raise SourceError(f"{shown(error.filename)}: {(error.strerror or '').lower()}") from error


def files_matching(pattern: str) -> list[Path]:
    """List the files a glob matches, ``2.jpg`` before ``10.jpg``.

    ``**`` stands for any folders, none of them hidden or a link; at the end, for all below.

    Raises:
        SourceError: If there is none, or a folder cannot be listed.
    """
    posix = Path(pattern).as_posix()
    matches = set(_matches(f"{posix}/*" if Path(pattern).name == "**" else posix))
    files = sorted(filter(os.path.isfile, matches), key=_natural)
    if not files:
        raise SourceError(f"no file matches {shown(pattern)}")
    return files


def _matches(pattern: str) -> Iterator[Path]:
    """Expand a glob as ``glob`` does, but for ``**``, where that one follows loops of links."""
    stars = re.search(r"(^|/)\*\*/", pattern)
    if not stars:
        yield from map(Path, glob.iglob(pattern))  # noqa: PTH207 - may be absolute
        return
    for folder in glob.iglob(pattern[: stars.end(1)] or "."):  # noqa: PTH207
        for at, _ in _walk(folder, recursive=True):
            yield from _matches(f"{glob.escape(at)}/{pattern[stars.end() :]}")


def _natural(path: Path) -> list[tuple[list[str | int], str]]:
    return [natural_key(part) for part in path.parts]
