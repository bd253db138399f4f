"""Which saliency map belongs to which ground truth."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sodcli.data.benchmarks import BenchmarkSet, PairGroup, find_sets, with_unique_names
from sodcli.data.pairs import (
    IMAGE_WORDS,
    MASK_WORDS,
    Pair,
    pictures_under,
    plain_stem,
    subfolders,
)
from sodcli.errors import MissingError, SourceError
from sodcli.registry import default_registry, plain_name
from sodcli.text import reason_of

_MAP_WORDS: Final = frozenset(
    {"map", "maps", "pred", "preds", "prediction", "predictions", "sal", "saliency", "result"}
)
_KINDS: Final = IMAGE_WORDS | MASK_WORDS | _MAP_WORDS | {"ground", "results"}
_RESOLUTION: Final = re.compile(r"\d+p|full[-_]?resolution", re.IGNORECASE)


def place_of(folder: Path, root: Path) -> tuple[str, ...]:
    """Return the folders from ``root`` to ``folder`` that say which, not what, a picture is.

    ``DAVIS/Annotations/480p/bear`` is at ``("DAVIS", "bear")``: names of kinds (``GT``, ``images``,
    ``maps``) and of resolutions are left out.
    """
    return tuple(part for part in folder.relative_to(root).parts if not says_what(part))


def says_what(folder: str) -> bool:
    """Tell whether a folder's name only says what is in it, such as ``GT`` or ``480p``."""
    return _RESOLUTION.fullmatch(folder) is not None or _words(folder) <= _KINDS


def holds_photos(place: Path) -> bool:
    """Tell whether a folder on the path is one of photos, such as ``images``."""
    return any(_words(part) <= IMAGE_WORDS for part in place.parts)


def _words(name: str) -> frozenset[str]:
    return frozenset(re.split(r"[-_ .]+", name.casefold()))


Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Maps:
    """One method's maps of one set.

    Attributes:
        folder: Where they were looked for.
        of: The map of each ground truth that has one.
        unused: Maps that belong to none, or second ones of the same.
    """

    folder: Path
    of: dict[Path, Path]
    unused: tuple[Path, ...]


def find_maps(root: Path, sets: Sequence[BenchmarkSet]) -> list[Maps]:
    """Find a method's maps of every set, in ``root/SET`` or, for a single set, ``root`` itself.

    A set that is called by its path, ``a/TE``, has its maps in ``root/a/TE``.

    A map is found by its place and stem, whatever its suffix; ``photo_map.png`` is as good as
    ``photo.png``, and folders named ``maps`` or the like do not count.

    Raises:
        MissingError: If there is no such folder, or no map in it fits any ground truth.
        SourceError: If a folder cannot be listed.
    """
    if not root.is_dir():
        raise MissingError(f"no folder '{root}'. Give the folder of a method's maps.")
    try:
        owned = frozenset(root / one.name for one in sets)
        folders = [_folder(root, one.name, owned) for one in sets]
        alone = root if len(sets) == 1 else None
        found = [
            _match(folder or alone or root / one.name, one)
            for folder, one in zip(folders, sets, strict=True)
        ]
    except OSError as error:
        raise SourceError(f"{error.filename}: {reason_of(error)}") from error
    if not any(maps.of for maps in found):
        raise MissingError(_none(root, sets, found))
    return found


def _folder(root: Path, name: str, owned: frozenset[Path]) -> Path | None:
    """Return the folder of the set ``name``; of those in ``owned`` only the one called just so."""
    folder: Path | None = root
    for part in name.split("/"):
        folder = folder and _below(folder, part, owned)
    return folder


def _below(folder: Path, name: str, owned: frozenset[Path]) -> Path | None:
    """Return the folder ``name``, else one that differs by capitals, ``-`` or ``_``, if any."""
    subs, plain = subfolders(folder), plain_name(name)
    near = [sub for sub in subs if plain_name(sub.name) == plain and plain and sub not in owned]
    return next((sub for sub in subs if sub.name == name), near[0] if near else None)


def _match(folder: Path, one: BenchmarkSet) -> Maps:
    pairs = [(clip, pair) for clip in one.groups for pair in clip.pairs]
    photos = {pair.image for _, pair in pairs if pair.image != pair.mask}
    files = [path for path in _files(folder) if path not in photos]
    index = _index(files, folder)
    of = {}
    for clip, pair in pairs:
        found = next((index[key] for key in _keys(clip, pair) if key in index), None)
        if found is not None:
            of[pair.mask] = found
    used = set(of.values())
    return Maps(folder, of, tuple(path for path in files if path not in used))


def _files(folder: Path) -> list[Path]:
    return pictures_under(folder) if folder.is_dir() else []


def _index(files: Sequence[Path], folder: Path) -> dict[Key, Path]:
    """Return the map at each place and stem.

    The likeliest first: photo.png, then photo_map.png, then photo.jpg, which may be the photo.
    """
    found: list[tuple[int, Key, Path]] = []
    for path in files:
        place, plain = place_of(path.parent, folder), plain_stem(path.stem)
        found.append((0 if path.suffix.lower() == ".png" else 2, (*place, path.stem), path))
        if plain != path.stem:
            found.append((1, (*place, plain), path))
    index: dict[Key, Path] = {}
    for _, key, path in sorted(found, key=lambda entry: entry[0]):
        index.setdefault(key, path)
    return index


def _keys(clip: PairGroup, pair: Pair) -> list[Key]:
    """Return where a map may be: named as the photo or, failing that, as the mask."""
    place = tuple(part for part in clip.name.split("/") if part and not says_what(part))
    stems = (pair.image.stem, pair.mask.stem, plain_stem(pair.mask.stem))
    return [(*place, stem) for stem in stems]


def _none(root: Path, sets: Sequence[BenchmarkSet], found: Sequence[Maps]) -> str:
    one, clip = sets[0], sets[0].groups[0]
    wanted = "/".join(_keys(clip, clip.pairs[0])[0])
    there = [path for maps in found for path in maps.unused] or pictures_under(root)
    has = f"it holds {len(there)} pictures, such as {there[0]}" if there else "no picture is there"
    count = sum(each.pictures for each in sets)
    return (
        f"{root}: no map for any of {count} ground truths. "
        f"Looked for {wanted}.png of {one.name}; {has}"
    )


def find_truths(root: Path, *, clips: bool) -> list[BenchmarkSet]:
    """Find ground truth: a data set, a root of data sets, or masks without their photos.

    Where there is no photo, a pair's image is its mask.

    Args:
        root: The folder to look in.
        clips: Whether folders of bare masks are clips of one film set; else each is a set.

    Raises:
        UsageError: If two sets cannot be told apart by their paths.
        MissingError: If the folder does not exist, or holds no picture.
        SourceError: If a folder cannot be listed.
    """
    if not root.is_dir():
        raise MissingError(f"no folder '{root}'. Give the ground truth: a data set, or masks.")
    sets: list[BenchmarkSet] = []
    with suppress(MissingError):
        sets = find_sets(root, [], default_registry().datasets)
    try:
        if not sets:
            sets = _bare(root, clips=clips)
        elif all(one.folder != root for one in sets):
            sets += [one for sub in _left(root, sets) for one in _bare(sub, clips=clips)]
    except OSError as error:
        raise SourceError(f"{error.filename}: {reason_of(error)}") from error
    if not sets:
        raise MissingError(f"no ground truth in {root}: not a single picture")
    return with_unique_names(sets, root)


def _left(root: Path, sets: list[BenchmarkSet]) -> list[Path]:
    """Return the folders of ``root`` in which no set was found."""
    found = {folder for one in sets for folder in (one.folder, *one.folder.parents)}
    return [sub for sub in subfolders(root) if sub not in found]


def _bare(root: Path, *, clips: bool) -> list[BenchmarkSet]:
    """Group the masks under ``root`` into sets and clips, by the folders that they lie in."""
    called = _called(root)
    groups: dict[str, dict[str, list[Path]]] = {}
    for path in pictures_under(root):
        if holds_photos(path.parent.relative_to(root)):
            continue
        place = place_of(path.parent, root)
        name, clip = (place[:-1], place[-1:]) if clips else (place[:1], place[1:])
        group = groups.setdefault("/".join(name) or called, {})
        group.setdefault("/".join(clip), []).append(path)
    return [
        BenchmarkSet(
            name=name,
            folder=root if name == called else root / name,
            film=clips and "" not in group,
            groups=tuple(PairGroup(clip, _pairs(files, root)) for clip, files in group.items()),
            remarks=(),
        )
        for name, group in groups.items()
    ]


def _called(root: Path) -> str:
    """Return the name of a set by its folder, or by the one above if that is just ``GT``."""
    path = root.resolve()
    return next((p.name for p in (path, *path.parents) if p.name and not says_what(p.name)), "set")


def _pairs(files: list[Path], root: Path) -> tuple[Pair, ...]:
    """Pair masks with themselves, or with the photos they lie among: photo.jpg, photo.png."""
    masks = {path.stem: path for path in files if path.suffix.lower() == ".png"}
    photos = {path.stem: path for path in files if path.suffix.lower() != ".png"}
    if masks.keys() & photos.keys():
        return tuple(Pair(photos.get(stem, mask), mask, str(root)) for stem, mask in masks.items())
    return tuple(Pair(path, path, str(root)) for path in files)
