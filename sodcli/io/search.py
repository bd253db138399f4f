"""Find pictures and films in folders and by globs; detect which of the two a file is."""

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Literal

from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from sodcli.errors import SourceError
from sodcli.files import natural_key, open_regular
from sodcli.imaging.output_types import OUTPUT_TYPES
from sodcli.io.pictures import heic
from sodcli.io.pictures.cicp import PNG_SIGNATURE, png_chunks
from sodcli.io.pictures.decode import DAMAGE, HEAD_BYTES, readable_suffixes, reader_of
from sodcli.io.pictures.encode import has_software
from sodcli.io.pictures.read import read_software
from sodcli.text import display_name, reason_of

Kind = Literal["picture", "film"]

_MOST_FOLDERS: Final = 1000
_NUMBER: Final = re.compile(r"%(0?\d*)d")
FILM_SUFFIXES: Final = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts"),
        *(".m2ts", ".wmv", ".flv", ".3gp", ".ogv", ".apng"),
    )
)
_FOREIGN: Final = frozenset(  # pictures and films that sod has no reader for
    (
        *(".jxl", ".jp2", ".psd", ".svg", ".exr", ".hdr", ".tga"),
        *(".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"),
        *(".braw", ".r3d"),
    )
)
_FILM_HEADS: Final = re.compile(
    rb".{4}ftyp(?!hei|mif1|msf1|avif|crx)"  # MP4, QuickTime, 3GP, animated AVIF; not HEIC, CR3
    rb"|.{4}(moov|mdat|wide|free)"  # old QuickTime
    rb"|RIFF.{4}AVI |\x1a\x45\xdf\xa3|OggS|FLV\x01|\0\0\x01[\xb3\xba]|\x30\x26\xb2\x75"
    rb"|YUV4MPEG2 |DKIF|nut/multimedia|\x06\x0e\x2b\x34",
    re.DOTALL,
)


def media_in(
    folder: Path,
    recursive: bool,
    *,
    out: str | None = None,
    warn: Callable[[str], None] | None = None,
) -> list[Path]:
    """List the pictures and films of a folder by suffix, in natural order.

    ``2.jpg`` comes before ``10.jpg``. Hidden files (which include sod's temporary files), results
    of sod that are beside their source, and the contents of ``out`` are left out.

    Args:
        folder: The folder to list.
        recursive: Also list its sub-folders.
        out: Folder of the results; skipped if it is inside ``folder``.
        warn: Called with one line of text about pictures that cannot be read, one about results
            left out, and one about sub-folders left out.

    Raises:
        SourceError: If nothing is found, or a folder cannot be listed.
    """
    media: list[Path] = []
    ours, others = _suffixes()
    foreign: Counter[str] = Counter()
    for at, files in _walk(folder, recursive, out):
        media += (Path(at, name) for name in files if _suffix(name) in ours)
        foreign.update(suffix for name in files if (suffix := _suffix(name)) in others)
    results = _results_among(media)
    found = set(media) - results
    remarks = [*_foreign_remarks(folder, foreign), *_result_remarks(results)]
    deeper = not recursive and _any_below(folder, out)
    if not found:
        hint = "; its sub-folders have some, which -r takes" if deeper else ""
        none = f"{display_name(folder)}: no pictures or films in this folder"
        raise SourceError(f"{remarks[0] if remarks else none}{hint}")
    if deeper:
        more = "its sub-folders have pictures or films, too, which -r takes"
        remarks.append(f"{display_name(folder)}: {more}")
    if warn is not None:
        for remark in remarks:
            warn(remark)
    return sorted(found, key=_natural)


def _any_below(folder: Path, out: str | None) -> bool:
    """Return True if a sub-folder has a picture or film; only the first thousand are searched."""
    ours, _ = _suffixes()
    with suppress(SourceError):  # a folder that cannot be listed
        for _, files in islice(_walk(folder, True, out), 1, _MOST_FOLDERS):
            if any(_suffix(name) in ours for name in files):
                return True
    return False


def _suffixes() -> tuple[frozenset[str], frozenset[str]]:
    """Return the suffixes of readable pictures and films, and those of unreadable ones."""
    ours = readable_suffixes() | FILM_SUFFIXES
    return ours, (_FOREIGN | heic.SUFFIXES) - ours


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _results_among(media: Iterable[Path]) -> set[Path]:
    """Return the files that are results of sod made of other files in ``media``.

    Such a name is that of the other file, an underscore and what :func:`_is_result` checks.
    """
    media = set(media)
    sources = {*media, *(path.with_suffix("") for path in media)}

    def starts(path: Path) -> Iterator[Path]:
        cuts = (found.start() for found in re.finditer("_", path.stem))
        return (path.with_name(path.stem[:at]) for at in cuts if at)

    return {
        path
        for path in media
        if any(start in sources for start in starts(path)) and _is_result(path)
    }


def _is_result(path: Path) -> bool:
    """Return True if sod made a picture, or if the name of another file ends in an output type.

    The name alone would not do: photos of a shop are called ``shirt_green.jpg``, too. Films, and
    pictures in formats without metadata, do not say what made them.
    """
    if has_software(path.suffix) and kind_of(path) == "picture":
        return read_software(path).startswith("sodcli ")
    return path.stem.rpartition("_")[2] in OUTPUT_TYPES


def _foreign_remarks(folder: Path, foreign: Mapping[str, int]) -> Iterator[str]:
    """Yield one line about unreadable files, if any."""
    if count := sum(foreign.values()):
        what = "file in {} is a picture" if count == 1 else "files in {} are pictures"
        kinds = ", ".join(f"{suffix} ({foreign[suffix]})" for suffix in sorted(foreign))
        yield (
            f"{count} {what.format(display_name(folder))} that sod cannot read: {kinds}; "
            f"convert to JPEG or PNG first{_advice(foreign)}"
        )


def _result_remarks(results: Collection[Path]) -> Iterator[str]:
    """Yield one line about results of sod that are left out, if any."""
    if results:
        first = display_name(min(results, key=_natural))
        yield f"left out what sod made beside its sources: {first} ({len(results)} in all)"


def _advice(foreign: Mapping[str, int]) -> str:
    return ", or run: pip install pillow-heif" if heic.SUFFIXES & foreign.keys() else ""


def _walk(
    folder: Path | str, recursive: bool, out: str | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder with the names of its files; skip hidden names and the folder ``out``.

    Links to folders are not followed, so that loops of links do no harm.
    """
    own = None if out is None else os.path.realpath(out)
    for at, folders, files in os.walk(folder, onerror=_cannot_list):
        folders[:] = [
            name
            for name in folders
            if recursive
            and not name.startswith(".")
            and (own is None or os.path.realpath(Path(at, name)) != own)
        ]
        yield at, [name for name in files if not name.startswith(".")]


def _cannot_list(error: OSError) -> None:
    raise SourceError(f"{display_name(error.filename)}: {reason_of(error).lower()}") from error


def files_matching(pattern: str, warn: Callable[[str], None] | None = None) -> list[Path]:
    """List the files that a glob matches, in natural order (``2.jpg`` before ``10.jpg``).

    ``**`` matches any number of nested folders that are neither hidden nor links; at the end of the
    pattern, it matches all files below. Results of sod are left out if their source matches, too.

    Args:
        pattern: The glob.
        warn: Called with one line of text about results left out.

    Raises:
        SourceError: If no file matches, or a folder cannot be listed.
    """
    posix = Path(pattern).as_posix()
    matches = set(_matches(f"{posix}/*" if Path(pattern).name == "**" else posix))
    files = set(filter(os.path.isfile, matches))
    if not files:
        raise SourceError(f"no file matches {display_name(pattern)}")
    results = _results_among(files)
    if warn is not None:
        for remark in _result_remarks(results):
            warn(remark)
    return sorted(files - results, key=_natural)


def numbered_files(pattern: str) -> list[Path]:
    """List the files that a pattern such as ``frames/%04d.png`` names, in order of their numbers.

    Raises:
        SourceError: If there is none.
    """
    path = Path(pattern)
    parts = _NUMBER.split(path.name)[::2]
    named = re.compile(r"(\d+)".join(map(re.escape, parts)))
    try:
        files = sorted(path.parent.iterdir())
        found = [(match, file) for file in files if (match := named.fullmatch(file.name))]
    except OSError:
        found = []
    if not found:
        raise SourceError(f"no file matches {display_name(pattern)}")
    found.sort(key=lambda pair: [int(number) for number in pair[0].groups()])
    return [file for _, file in found]


def is_pattern(source: str) -> bool:
    """Return True if the name of a file has a place for a number, as ``%04d``."""
    return bool(_NUMBER.search(Path(source).name))


def _matches(pattern: str) -> Iterator[Path]:
    """Expand a glob like ``glob.iglob``, except that ``**`` does not follow links to folders."""
    stars = re.search(r"(^|/)\*\*/", pattern)
    if not stars:
        yield from map(Path, glob.iglob(pattern))  # noqa: PTH207 - may be absolute
        return
    for folder in glob.iglob(pattern[: stars.end(1)] or "."):  # noqa: PTH207
        for at, _ in _walk(folder, recursive=True):
            yield from _matches(f"{glob.escape(at)}/{pattern[stars.end() :]}")


def _natural(path: Path) -> list[tuple[list[str | int], str]]:
    return [natural_key(part) for part in path.parts]


def kind_of(path: Path) -> Kind:
    """Return whether a file is a picture or a film, by its content.

    If the content cannot be read or is not recognised, the suffix decides. GIFs with more than one
    frame, APNGs, animated WebPs and animated AVIFs are films.
    """
    head = _head(path)
    if is_film_head(head):
        return "film"
    if head.startswith(b"GIF8"):
        return "film" if is_animated_gif(path) else "picture"
    if head.startswith(PNG_SIGNATURE):
        return "film" if _is_animated_png(path) else "picture"
    by_name: Kind = "film" if path.suffix.lower() in FILM_SUFFIXES else "picture"
    try:
        reader_of(head, path.name)
    except SourceError:
        return by_name
    return "picture"


def is_film_head(head: bytes) -> bool:
    """Return True if the first ``HEAD_BYTES`` bytes show a film; those of GIF and PNG never do."""
    moving_webp = head[8:16] == b"WEBPVP8X" and bool(head[20:21]) and bool(head[20] & 2)
    return moving_webp or bool(_FILM_HEADS.match(head))


def _head(path: Path) -> bytes:
    with suppress(OSError, ValueError), open_regular(path) as file:  # a NUL is a ValueError
        return file.read(HEAD_BYTES)
    return b""


def _is_animated_png(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return animation_first(kind for kind, _ in png_chunks(file))
    return False


def animation_first(chunks: Iterable[bytes]) -> bool:
    """Return True if PNG chunks of these types are those of an animation (APNG)."""
    return next((kind == b"acTL" for kind in chunks if kind in (b"acTL", b"IDAT")), False)


def is_animated_gif(file: Path | BinaryIO) -> bool:
    """Return True if a GIF has more than one frame."""
    try:
        with GifImageFile(file) as image:
            return bool(image.is_animated)
    except (*DAMAGE, Image.DecompressionBombError):
        return False
