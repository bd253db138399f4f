"""Find pictures and their masks in the folder layouts of published data sets."""

import os
import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Final, TypeVar

import numpy as np

from sodcli.errors import MissingError, UsageError
from sodcli.files import natural_key, user_path
from sodcli.io.pictures.decode import readable_suffixes
from sodcli.text import plural, shortened

IMAGE_WORDS = frozenset(
    {"im", "image", "images", "img", "imgs", "jpegimages", "original", "originals", "photos"}
)
MASK_WORDS = frozenset(
    (
        *("annotation", "annotations", "groundtruth", "gt", "gts", "label", "labels", "mask"),
        *("masks", "matte", "mattes", "pixelwisegt", "segmentation", "segmentationclass"),
        "truth",
    )
)
LOOKED_FOR = (
    "a folder images, Imgs, im, original, JPEGImages or NAME-Image beside GT, masks, labels, "
    "Annotations, SegmentationClass or NAME-Mask, or photo.jpg beside photo.png or "
    "photo_mask.png, there and one folder down"
)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders directly in ``folder``, in natural order, without hidden ones."""
    return _listing(folder)[0]


def pictures_in(folder: Path) -> list[Path]:
    """Return the picture files directly in ``folder``, in natural order."""
    return _listing(folder)[1]


def pictures_under(folder: Path) -> list[Path]:
    """Return the picture files in ``folder`` and below, folder by folder in natural order."""
    subs, pictures = _listing(folder)
    return pictures + [path for sub in subs for path in pictures_under(sub)]


def twin_folders(folder: Path) -> list[tuple[Path, Path]]:
    """Return each folder of pictures in ``folder`` with its folder of masks.

    Folders are recognised by words in their names: ``DUTS-TR-Image`` holds pictures,
    ``ground_truth_mask`` holds masks. If there are several of a kind, the remaining words must be
    equal (``DUTS-TR-Image`` and ``DUTS-TR-Mask``). Folders without picture files, such as VOC's
    XML annotations, are ignored.
    """
    images: dict[frozenset[str], Path] = {}
    masks: dict[frozenset[str], Path] = {}
    for sub in subfolders(folder):
        words = frozenset(re.split(r"[-_ .]+", sub.name.casefold()))
        kind = masks if words & MASK_WORDS else images if words & IMAGE_WORDS else None
        if kind is not None and _has_picture(sub):
            kind.setdefault(words - MASK_WORDS - IMAGE_WORDS, sub)
    if len(masks) == 1 and images:  # of several (P3M: original, blurred), take the shortest name
        plainest = min(images, key=len)
        return [(images[plainest], next(iter(masks.values())))]
    return [(path, masks[rest]) for rest, path in images.items() if rest in masks]


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the picture files in ``folder``, each in natural order."""
    with os.scandir(folder) as entries:  # an entry knows its kind without another stat call
        shown = [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    shown.sort(key=lambda entry: natural_key(entry.name))
    subs = [folder / entry.name for entry in shown if _is(entry.is_dir) and not _loops(entry)]
    files = (folder / entry.name for entry in shown if _is(entry.is_file))
    return subs, [path for path in files if path.suffix.lower() in readable_suffixes()]


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a symbolic link to itself
        return False


def _loops(entry: os.DirEntry[str]) -> bool:
    """Return True for a link to one of its own parent folders, which would cause a loop."""
    if not entry.is_symlink():
        return False
    there = os.path.realpath(entry.path)
    return any(os.path.realpath(above) == there for above in Path(entry.path).absolute().parents)


def _has_picture(folder: Path) -> bool:
    subs, pictures = _listing(folder)
    return bool(pictures) or any(_has_picture(sub) for sub in subs)


_ENDING = re.compile(
    r"(.+?)[-_](?:maps?|masks?|gt|sal|sal_fuse|saliency|preds?|labels?|matte)", re.IGNORECASE
)
_SUFFIX = re.compile(r"(.+)\.(?:jpe?g|png|webp|tiff?|bmp|avif|heic)", re.IGNORECASE)


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
    """Pairs in natural order, and one message per folder and kind of problem."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]


_NONE: Final = PairList((), ())


def find_pairs(folders: Sequence[str]) -> PairList:
    """Find the pairs of several data sets.

    Args:
        folders: Folders in a known layout, or pairs of folders as ``IMAGES=MASKS``. The pairs are
            in the order of the folders and, within a folder, in natural order of their paths.

    Raises:
        MissingError: If a folder does not exist, or holds no pair; the message lists the layouts
            that were tried.
    """
    return _joined(_pairs_of(source) for source in folders)


def pairs_across(images: Path, masks: Path, source: str) -> PairList:
    """Pair the pictures under ``images`` with the masks of the same relative path in ``masks``."""
    photos = _by_stem(pictures_under(images), images)
    truths = _masks_by_stem(pictures_under(masks), masks, photos)
    return _matched(photos, truths, images.parent, source)


def _pairs_of(source: str) -> PairList:
    images, equals, masks = source.partition("=")
    if equals and not Path(source).is_dir():
        found = pairs_across(_folder(images), _folder(masks), source)
    else:
        folder = _folder(source)
        found = _known_layout(folder, source)
        if not found.pairs:
            found = _joined([found, _of_sets(folder, source)])
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
        f"looked for {LOOKED_FOR}; found {plural(len(pictures_in(folder)), 'picture')} and "
        f"{'the folders ' + shortened(names) if names else 'no folders'}. "
        "Two folders can be named as IMAGES=MASKS."
    )


def _known_layout(folder: Path, source: str) -> PairList:
    twins = twin_folders(folder)
    if twins:
        return _joined(pairs_across(images, masks, source) for images, masks in twins)
    files = pictures_in(folder)
    masks = _masks_among(files)
    photos = _by_stem([path for path in files if path not in masks], folder)
    found = _matched(photos, _masks_by_stem(masks, folder, photos), folder, source)
    return found if found.pairs else _NONE


def _of_sets(folder: Path, source: str) -> PairList:
    """Return the pairs of every set in ``folder``, and a message about sets without any."""
    parts = {sub: _known_layout(sub, source) for sub in subfolders(folder)}
    found = _joined(parts.values())
    unused = [sub for sub, one in parts.items() if one == _NONE and _has_picture(sub)]
    if not (found.pairs and unused):
        return found
    names = shortened([sub.name for sub in unused])
    return replace(
        found,
        problems=(*found.problems, f"{folder}: no pairs of picture and mask found in {names}"),
    )


def _masks_among(files: Sequence[Path]) -> list[Path]:
    """Return the masks in a folder of photos and masks.

    These are the files named ``photo_mask`` for a file ``photo``, and PNG files. If any
    ``photo_mask`` exists, only PNG files named like a photo of another format are masks.
    """
    stems = {path.stem for path in files}
    named = [path for path in files if path.stem != plain_stem(path.stem) in stems]
    pngs = [path for path in files if path.suffix.lower() == ".png" and path not in named]
    if not named:
        return pngs
    photos = {path.stem for path in files if path.suffix.lower() != ".png"}
    return named + [path for path in pngs if path.stem in photos]


def _masks_by_stem(
    files: Iterable[Path], root: Path, photos: Container[PurePath]
) -> dict[PurePath, list[Path]]:
    """Group masks by the stem of their photo."""
    masks: dict[PurePath, list[Path]] = {}
    for stem, paths in _by_stem(files, root).items():
        masks.setdefault(_mask_of(stem, photos), []).extend(paths)
    return masks


def plain_stem(stem: str) -> str:
    """Return ``photo`` for ``photo_map``, ``photo-mask``, ``photo.jpg`` and ``photo.jpg_map``."""
    ending = _ENDING.fullmatch(stem)
    bare = ending[1] if ending else stem
    suffix = _SUFFIX.fullmatch(bare)
    return suffix[1] if suffix else bare


def _mask_of(stem: PurePath, photos: Container[PurePath]) -> PurePath:
    """Return the stem of the photo that a mask belongs to: ``photo`` for ``photo_map.png``."""
    plain = stem.with_name(plain_stem(stem.name))
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


T = TypeVar("T")
_RUN = 16  # number of neighbouring pictures that are held out together


def hold_out(
    pairs: Sequence[Pair], share: float, seed: int
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Split pairs into a training part and a part held out for validation.

    Each folder of pictures gives about ``share`` of its pairs, and at least one if it has two.
    Runs of neighbours are held out together, because near-duplicates are neighbours in natural
    order. The split of a folder depends on the seed and its own pairs only: adding another
    folder does not change it. A picture that occurs several times is on one side only, and held
    out once.

    Args:
        pairs: In the order of ``find_pairs``.
        share: In [0, 1); 0 holds nothing out.
        seed: At least 0.

    Returns:
        The pairs to train on and the held-out pairs, both in the given order.

    Raises:
        UsageError: If ``share`` is out of range.
    """
    if not 0 <= share < 1:
        raise UsageError(f"the share to hold out is {share}; give one from 0 to below 1")
    first: dict[Path, Pair] = {}
    for pair in pairs:
        first.setdefault(pair.image, pair)
    sets: dict[Path, list[Path]] = {}
    for image in first:
        sets.setdefault(image.parent, []).append(image)
    held = {members[i] for members in sets.values() for i in _held(len(members), share, seed)}
    train = tuple(pair for pair in pairs if pair.image not in held)
    return train, tuple(pair for image, pair in first.items() if image in held)


def hold_out_films(
    films: Sequence[T], share: float, seed: int
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Split films into a training part and a held-out part of about ``share``.

    If there are two or more films, at least one is held out, unless ``share`` is 0. The order is
    kept.
    """
    count = min(max(1, round(len(films) * share)), len(films) - 1) if share and films else 0
    held = set(np.random.default_rng(seed).permutation(len(films))[:count].tolist())
    train = tuple(film for place, film in enumerate(films) if place not in held)
    return train, tuple(film for place, film in enumerate(films) if place in held)


def _held(count: int, share: float, seed: int) -> list[int]:
    """Return the indices, out of ``count``, that are held out."""
    wanted = min(max(1, round(count * share)), count - 1)
    if share == 0 or wanted == 0:
        return []
    length = min(_RUN, wanted, count // 2)
    runs = np.array_split(np.arange(count), count // length)
    number = min(round(wanted / length), len(runs) - 1)
    picked = np.random.default_rng(seed).permutation(len(runs))[:number]
    return [int(index) for run in picked for index in runs[run]]
