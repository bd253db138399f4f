"""Pictures and their masks, found by stem in every folder layout that data sets come in."""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeVar

import numpy as np

from sodcli.data.layouts import LOOKED_FOR, pictures_in, pictures_under, subfolders, twin_folders
from sodcli.errors import MissingError, UsageError
from sodcli.files import natural_key, user_path
from sodcli.text import shortened

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
        f"{'the folders ' + shortened(names) if names else 'no folders'}. "
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
        f"{root}: {len(files)} {kind}: {shortened([path.name for path in files])}"
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


Film = TypeVar("Film")
_RUN = 16  # neighbours kept together; a few runs of this length still cover a set's kinds


def hold_out(
    pairs: Sequence[Pair], share: float, seed: int
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Split the pairs into those to train on and those held out.

    Every set (folder of pictures) gives about ``share`` of its pairs, and at least one if it has
    two. Near-twins are neighbours in natural order, so what is held out are runs of neighbours.
    A set's split depends on the seed and its own pairs alone: adding sets moves no other pair.

    Args:
        pairs: In the order of ``find_pairs``.
        share: In [0, 1); 0 holds nothing out.
        seed: Not negative.

    Returns:
        The pairs to train on and the pairs held out, both in the given order.

    Raises:
        UsageError: If ``share`` is out of range.
    """
    if not 0 <= share < 1:
        raise UsageError(f"the share to hold out is {share}; give one from 0 to below 1")
    sets: dict[object, list[int]] = {}
    for index, pair in enumerate(pairs):
        sets.setdefault(pair.image.parent, []).append(index)
    held = {members[i] for members in sets.values() for i in _held(len(members), share, seed)}
    train = tuple(pair for index, pair in enumerate(pairs) if index not in held)
    return train, tuple(pairs[index] for index in sorted(held))


def hold_out_films(
    films: Sequence[Film], share: float, seed: int
) -> tuple[tuple[Film, ...], tuple[Film, ...]]:
    """Split films into those to train on and about ``share`` of them, each as a whole.

    Where there are two, at least one is held out; a share of 0 holds nothing out. Both keep the
    given order.
    """
    count = min(max(1, round(len(films) * share)), len(films) - 1) if share and films else 0
    held = set(np.random.default_rng(seed).permutation(len(films))[:count].tolist())
    train = tuple(film for place, film in enumerate(films) if place not in held)
    return train, tuple(film for place, film in enumerate(films) if place in held)


def _held(count: int, share: float, seed: int) -> list[int]:
    """Return which of ``count`` neighbours are held out."""
    wanted = min(max(1, round(count * share)), count - 1)
    if share == 0 or wanted == 0:
        return []
    length = min(_RUN, wanted, count // 2)
    runs = np.array_split(np.arange(count), count // length)
    number = min(round(wanted / length), len(runs) - 1)
    picked = np.random.default_rng(seed).permutation(len(runs))[:number]
    return [int(index) for run in picked for index in runs[run]]
