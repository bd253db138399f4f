"""Turn the arguments of a command into the pictures to work on."""

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sodcli.errors import SourceError
from sodcli.frame import Frame
from sodcli.io.pictures import MAX_PIXELS, read_picture, read_stream, shown

PICTURE_SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif")
)


@dataclass(frozen=True, slots=True)
class Input:
    """One picture to work on.

    Attributes:
        path: The file; ``None`` for standard input.
        root: The folder argument it was found in, whose tree the results mirror; ``None`` when
            the file itself was named.
    """

    path: Path | None
    root: Path | None = None


def find_inputs(sources: Sequence[str], *, recursive: bool) -> list[Input]:
    """Expand files, folders, globs and ``-`` into inputs, each once, in the order given.

    A name that exists is taken literally, even if it looks like a glob. A missing file stays in
    the list: reading it will fail, and the others still get done.

    Args:
        sources: What the user typed.
        recursive: Look into the sub-folders of folders, too.

    Raises:
        SourceError: If a folder holds no picture or cannot be listed, or a glob matches no file.
    """
    seen: dict[str | None, Input] = {}
    for source in sources:
        for item in _expand(source, recursive):
            seen.setdefault(_identity(item.path), item)
    return list(seen.values())


def read_input(item: Input, *, index: int = 0, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read the picture of an input, from its file or from standard input.

    Raises:
        SourceError: If it cannot be read.
    """
    if item.path is None:
        return read_stream(sys.stdin.buffer, index=index, max_pixels=max_pixels)
    return read_picture(item.path, index=index, max_pixels=max_pixels)


def _expand(source: str, recursive: bool) -> Iterable[Input]:
    if source == "-":
        return [Input(None)]
    if not source:  # an unset variable of the shell, which Path would take for this folder
        raise SourceError("an empty name is no source; name a picture or a folder")
    path = Path(source)
    if _is_folder(path):
        return [Input(found, path) for found in _in_folder(path, recursive)]
    if glob.has_magic(source) and not os.path.lexists(source):
        return [Input(found) for found in _in_glob(source)]
    return [Input(path)]


def _in_folder(folder: Path, recursive: bool) -> list[Path]:
    """List pictures by suffix; hidden names, our temporary files among them, are left out."""
    found = [
        Path(at, name)
        for at, names in _walk(folder, recursive)
        for name in names
        if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")
    ]
    if not found:
        hint = "" if recursive else "; -r looks into its sub-folders"
        raise SourceError(f"{shown(folder)}: no pictures in this folder{hint}")
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


def _in_glob(pattern: str) -> list[Path]:
    """List the files a glob matches; a final ``**`` means all files below."""
    posix = Path(pattern).as_posix()
    matches = set(_matches(f"{posix}/*" if Path(pattern).name == "**" else posix))
    files = sorted((path for path in matches if path.is_file()), key=_natural)
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


def _is_folder(path: Path) -> bool:
    with suppress(OSError):  # a name too long, a folder one may not enter: reading it will tell
        return path.is_dir()
    return False


def _natural(path: Path) -> list[tuple[list[str | int], str]]:
    """Sort key that puts ``2.jpg`` before ``10.jpg``."""
    return [(_numbers_apart(part.casefold()), part) for part in path.parts]


def _numbers_apart(text: str) -> list[str | int]:
    pieces = re.split("([0-9]+)", text)  # every second piece is a number
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)]


def _identity(path: Path | None) -> str | None:
    """Return what two spellings of one file have in common; links stay distinct files."""
    return None if path is None else str(Path(os.path.realpath(path.parent), path.name))
