"""Expand command-line arguments into the pictures and films to process."""

import glob
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sodcli.errors import SourceError
from sodcli.files.reading import MAX_PIXELS
from sodcli.frame import Frame
from sodcli.io.pictures.read import decode_picture, read_picture
from sodcli.io.pipe import STDIN, Pipe
from sodcli.io.search import Kind, files_matching, is_pattern, kind_of, media_in, numbered_files


@dataclass(frozen=True, slots=True)
class Input:
    """One picture or film to process.

    Attributes:
        path: The file; ``None`` for standard input.
        root: The folder argument in which it was found, whose tree the results mirror; ``None``
            if the file itself was named.
        kind: Picture or film; animated pictures are films.
        pictures: The files of a film given as a sequence of pictures; ``path`` is the first.
        piped: Standard input, once it has been looked at.
    """

    path: Path | None
    root: Path | None = None
    kind: Kind = "picture"
    pictures: tuple[Path, ...] = ()
    piped: Pipe | None = field(default=None, compare=False)

    @property
    def in_series(self) -> bool:
        """Whether it is pictures one after another on standard input."""
        return self.piped is not None and self.piped.several

    @property
    def is_sequence(self) -> bool:
        """Whether it is pictures that make up a film."""
        return bool(self.pictures) or self.in_series


def find_inputs(
    sources: Sequence[str],
    *,
    recursive: bool,
    out: str | None = None,
    warn: Callable[[str], None] | None = None,
) -> list[Input]:
    """Expand files, folders, globs and ``-`` into inputs, in the given order, without duplicates.

    An existing name is taken literally, even if it looks like a glob. A missing file stays in the
    list, so that it fails when it is read and the other inputs are still processed.

    Args:
        sources: The arguments as given by the user.
        recursive: Also search the sub-folders of folders.
        out: Folder of the results, as given by the user; skipped when folders are searched.
        warn: Called with one line of text about files in a folder that cannot be read, are results
            of sod or lie in sub-folders.

    Raises:
        SourceError: If a folder contains no picture or film or cannot be listed, or a glob
            matches no file.
    """
    look_into = partial(media_in, recursive=recursive, out=out, warn=warn)
    match = partial(files_matching, warn=warn)
    seen: dict[str | None, Input] = {}
    for source in sources:
        for item in _expand(source, look_into, match):
            seen.setdefault(_identity(item.path), item)
    return list(seen.values())


def identify_stdin(inputs: Sequence[Input]) -> list[Input]:
    """Return ``inputs`` with the kind of what arrives on standard input, if that is one of them."""
    return [item if item.path is not None else _piped() for item in inputs]


def read_input(item: Input, *, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read the picture of an input, from its file or from standard input.

    Raises:
        SourceError: If it cannot be read.
    """
    if item.path is None:
        data = next((item.piped or Pipe(sys.stdin.buffer)).pictures())
        return decode_picture(data, name=STDIN, max_pixels=max_pixels)
    return read_picture(item.path, max_pixels=max_pixels)


def _piped() -> Input:
    pipe = Pipe(sys.stdin.buffer)
    return Input(None, kind=pipe.kind(), piped=pipe)


def _expand(
    source: str,
    look_into: Callable[[Path], list[Path]],
    match: Callable[[str], list[Path]],
) -> Iterable[Input]:
    if source == "-":
        return [Input(None)]
    if not source:  # such as an unset shell variable; Path("") would be the current folder
        raise SourceError("an empty name is no source; name a picture, a film or a folder")
    if os.path.isdir(source):  # noqa: PTH112 - unlike Path.is_dir it never raises
        root = Path(source)
        return [Input(found, root, kind_of(found)) for found in look_into(root)]
    if glob.has_magic(source) and not os.path.lexists(source):
        return [Input(found, kind=kind_of(found)) for found in match(source)]
    if is_pattern(source) and not os.path.lexists(source):
        return [Input(found, kind=kind_of(found)) for found in numbered_files(source)]
    return [Input(Path(source), kind=kind_of(Path(source)))]


def _identity(path: Path | None) -> str | None:
    """Return a key that is equal for all spellings of a path; a link differs from its target."""
    return None if path is None else str(Path(os.path.realpath(path.parent), path.name))
