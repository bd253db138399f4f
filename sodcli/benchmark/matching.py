"""Match saliency maps with ground truth by folder and file name."""

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
from sodcli.text import plural, reason_of

_MAP_WORDS: Final = frozenset(
    {"map", "maps", "pred", "preds", "prediction", "predictions", "sal", "saliency", "result"}
)
_KINDS: Final = IMAGE_WORDS | MASK_WORDS | _MAP_WORDS | {"ground", "results"}
_RESOLUTION: Final = re.compile(r"\d+p|full[-_]?resolution", re.IGNORECASE)

Key = tuple[str, ...]


def place_of(folder: Path, root: Path) -> tuple[str, ...]:
    """Return the folders from ``root`` to ``folder``, without names of kinds and resolutions.

    ``DAVIS/Annotations/480p/bear`` gives ``("DAVIS", "bear")``; kinds are ``GT``, ``images``,
    ``maps`` and the like.
    """
    return tuple(part for part in folder.relative_to(root).parts if not says_what(part))


def says_what(folder: str) -> bool:
    """Return True if a folder's name only says what it contains, such as ``GT`` or ``480p``."""
    return _RESOLUTION.fullmatch(folder) is not None or _words(folder) <= _KINDS


def holds_photos(place: Path) -> bool:
    """Return True if a folder on the path holds photos, such as ``images``."""
    return any(_words(part) <= IMAGE_WORDS for part in place.parts)


def _words(name: str) -> frozenset[str]:
    return frozenset(re.split(r"[-_ .]+", name.casefold()))


@dataclass(frozen=True, slots=True)
class Maps:
    """One method's maps of one set.

    Attributes:
        folder: Folder that was searched.
        of: Map by ground truth, for each ground truth that has one.
        unused: Maps that belong to no ground truth, or to one that has another map.
    """

    folder: Path
    of: dict[Path, Path]
    unused: tuple[Path, ...]


def find_maps(root: Path, sets: Sequence[BenchmarkSet]) -> list[Maps]:
    """Find a method's maps of every set, in ``root/SET`` or, for a single set, ``root`` itself.

    A set named by its path, ``a/TE``, has its maps in ``root/a/TE``. A map is found by its relative
    folder and stem with any suffix; ``photo_map.png`` matches ``photo``, and folders named ``maps``
    or the like are ignored.

    Raises:
        MissingError: If the folder does not exist, or no map in it matches a ground truth.
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
        raise MissingError(_no_match(root, sets, found))
    return found


def _folder(root: Path, name: str, owned: frozenset[Path]) -> Path | None:
    """Return the folder of the set ``name``; those in ``owned`` must match exactly."""
    folder: Path | None = root
    for part in name.split("/"):
        folder = folder and _below(folder, part, owned)
    return folder


def _below(folder: Path, name: str, owned: frozenset[Path]) -> Path | None:
    """Return the folder ``name``, or one that differs by case, ``-`` or ``_``, if there is one."""
    subs, plain = subfolders(folder), plain_name(name)
    near = [sub for sub in subs if plain_name(sub.name) == plain and plain and sub not in owned]
    return next((sub for sub in subs if sub.name == name), near[0] if near else None)


def _match(folder: Path, one: BenchmarkSet) -> Maps:
    pairs = [(clip, pair) for clip in one.groups for pair in clip.pairs]
    photos = {pair.image for _, pair in pairs if pair.image != pair.mask}
    there = pictures_under(folder) if folder.is_dir() else []
    files = [path for path in there if path not in photos]
    index = _index(files, folder)
    of = {}
    for clip, pair in pairs:
        found = next((index[key] for key in _keys(clip, pair) if key in index), None)
        if found is not None:
            of[pair.mask] = found
    used = set(of.values())
    return Maps(folder, of, tuple(path for path in files if path not in used))


def _index(files: Sequence[Path], folder: Path) -> dict[Key, Path]:
    """Return the map for each relative folder and stem.

    photo.png is preferred to photo_map.png, and that to photo.jpg, which may be the photo.
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
    """Return the keys of a pair's map: named like the photo or, failing that, like the mask."""
    place = tuple(part for part in clip.name.split("/") if part and not says_what(part))
    stems = (pair.image.stem, pair.mask.stem, plain_stem(pair.mask.stem))
    return [(*place, stem) for stem in stems]


def _no_match(root: Path, sets: Sequence[BenchmarkSet], found: Sequence[Maps]) -> str:
    one, clip = sets[0], sets[0].groups[0]
    wanted = "/".join(_keys(clip, clip.pairs[0])[0])
    there = [path for maps in found for path in maps.unused] or pictures_under(root)
    has = (
        f"it holds {plural(len(there), 'picture')}, such as {there[0]}"
        if there
        else "no picture is there"
    )
    count = sum(each.pictures for each in sets)
    return (
        f"{root}: no map for any of {plural(count, 'ground truth')}. "
        f"Looked for {wanted}.png of {one.name}; {has}"
    )


def find_truths(root: Path, *, clips: bool) -> list[BenchmarkSet]:
    """Find ground truth: a data set, a root of data sets, or masks without photos.

    Without a photo, the image of a pair is its mask.

    Args:
        root: Folder to search.
        clips: Whether folders of masks without photos are clips of one film set, or sets.

    Raises:
        UsageError: If two sets have the same name and path apart from case.
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
            sets = _mask_sets(root, clips=clips)
        elif all(one.folder != root for one in sets):
            sets += [
                one for sub in _without_set(root, sets) for one in _mask_sets(sub, clips=clips)
            ]
    except OSError as error:
        raise SourceError(f"{error.filename}: {reason_of(error)}") from error
    if not sets:
        raise MissingError(f"no ground truth in {root}: not a single picture")
    return with_unique_names(sets, root)


def _without_set(root: Path, sets: list[BenchmarkSet]) -> list[Path]:
    """Return the folders of ``root`` without a set."""
    found = {folder for one in sets for folder in (one.folder, *one.folder.parents)}
    return [sub for sub in subfolders(root) if sub not in found]


def _mask_sets(root: Path, *, clips: bool) -> list[BenchmarkSet]:
    """Group the masks under ``root`` into sets and clips by their folders."""
    called = _set_name(root)
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


def _set_name(root: Path) -> str:
    """Return the name of a set: that of its folder, or of the parent if the folder is ``GT``."""
    path = root.resolve()
    return next((p.name for p in (path, *path.parents) if p.name and not says_what(p.name)), "set")


def _pairs(files: list[Path], root: Path) -> tuple[Pair, ...]:
    """Pair masks with photos in the same folder (photo.jpg, photo.png), or with themselves."""
    masks = {path.stem: path for path in files if path.suffix.lower() == ".png"}
    photos = {path.stem: path for path in files if path.suffix.lower() != ".png"}
    if masks.keys() & photos.keys():
        return tuple(Pair(photos.get(stem, mask), mask, str(root)) for stem, mask in masks.items())
    return tuple(Pair(path, path, str(root)) for path in files)
