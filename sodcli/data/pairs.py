"""Pictures and their masks, found by stem in every folder layout that data sets come in."""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from sodcli.data.layouts import (
    LOOKED_FOR,
    pictures_in,
    pictures_under,
    subfolders,
    twin_folders,
)
from sodcli.errors import MissingError
from sodcli.files import natural_key, user_path

_NAMES_SHOWN = 5
_ENDING = re.compile(r"(.+)_(?:map|mask|gt)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture and its mask.

    Attributes:
        image: The picture's file.
        mask: The ground truth's file.
        source: The ``--data`` argument that they came from.
    """

    image: Path
    mask: Path
    source: str


@dataclass(frozen=True, slots=True)
class PairList:
    """Pairs in natural order and, a line per kind and folder, what is wrong with the rest."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]


def find_pairs(folders: Sequence[str]) -> PairList:
    """Find the pairs of several data sets.

    Args:
        folders: Each a folder in a known layout, or ``IMAGES=MASKS`` naming two folders. Folders
            keep their order; inside one, pairs are in natural order of their path.

    Raises:
        MissingError: If a folder does not exist, or holds no pair; it says what was looked for.
    """
    return _joined(_pairs_of(source) for source in folders)


def pairs_across(images: Path, masks: Path, source: str) -> PairList:
    """Pair the pictures in ``images`` and below with the masks of the same place in ``masks``."""
    photos = _by_stem(pictures_under(images), images)
    truths: dict[PurePath, list[Path]] = {}
    for stem, files in _by_stem(pictures_under(masks), masks).items():
        truths.setdefault(_mask_of(stem, photos), []).extend(files)
    return _matched(photos, truths, images.parent, source)


def capped(names: Sequence[str]) -> str:
    """Return ``names`` as one readable list, cut after the first few."""
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _pairs_of(source: str) -> PairList:
    images, equals, masks = source.partition("=")
    if equals and not Path(source).is_dir():
        found = pairs_across(_folder(images), _folder(masks), source)
    else:
        folder = _folder(source)
        found = _known_layout(folder, source)
        if not found.pairs:
            found = _joined(
                [found, *(_known_layout(sub, source) for sub in subfolders(folder))],
            )
    if not found.pairs:
        raise MissingError(f"no pair of picture and mask in {source}: {_reason(found, source)}")
    return found


def _folder(name: str) -> Path:
    path = user_path(name)
    if not path.is_dir():
        raise MissingError(f"no folder '{name}'. Give a folder of pictures and masks.")
    return path


def _reason(found: PairList, source: str) -> str:
    if found.problems:
        return "; ".join(found.problems)
    folder = user_path(source)
    names = [sub.name for sub in subfolders(folder)]
    return (
        f"looked for {LOOKED_FOR}; found {len(pictures_in(folder))} pictures and "
        f"{'the folders ' + capped(names) if names else 'no folders'}. "
        "Two folders can be named as IMAGES=MASKS."
    )


def _known_layout(folder: Path, source: str) -> PairList:
    twins = twin_folders(folder)
    if twins:
        return _joined(pairs_across(images, masks, source) for images, masks in twins)
    files = pictures_in(folder)
    photos = [path for path in files if path.suffix.lower() != ".png"]
    masks = [path for path in files if path.suffix.lower() == ".png"]
    found = _matched(_by_stem(photos, folder), _by_stem(masks, folder), folder, source)
    return found if found.pairs else PairList((), ())


def _mask_of(stem: PurePath, photos: Container[PurePath]) -> PurePath:
    """Return the stem of the photo: ``photo_map.png``, as ``sod infer`` names maps, is its mask."""
    ending = _ENDING.fullmatch(stem.name)
    plain = stem.with_name(ending[1]) if ending else stem
    return plain if stem not in photos and plain in photos else stem


def _by_stem(files: Iterable[Path], root: Path) -> dict[PurePath, list[Path]]:
    """Group files by their path under ``root`` without the suffix."""
    groups: dict[PurePath, list[Path]] = {}
    for path in files:
        groups.setdefault(path.relative_to(root).with_suffix(""), []).append(path)
    return groups


def _matched(
    images: dict[PurePath, list[Path]], masks: dict[PurePath, list[Path]], root: Path, source: str
) -> PairList:
    stems = sorted(images.keys() & masks.keys(), key=lambda stem: natural_key(stem.as_posix()))
    kinds = {
        "without a mask": [files[0] for stem, files in images.items() if stem not in masks],
        "without a picture": [files[0] for stem, files in masks.items() if stem not in images],
        "left out, as another file has the same stem": [
            path for group in (images, masks) for files in group.values() for path in files[1:]
        ],
    }
    problems = tuple(
        f"{root}: {len(files)} {kind}: {capped([path.name for path in files])}"
        for kind, files in kinds.items()
        if files
    )
    return PairList(tuple(Pair(images[s][0], masks[s][0], source) for s in stems), problems)


def _joined(lists: Iterable[PairList]) -> PairList:
    parts = list(lists)
    return PairList(
        tuple(pair for part in parts for pair in part.pairs),
        tuple(problem for part in parts for problem in part.problems),
    )
