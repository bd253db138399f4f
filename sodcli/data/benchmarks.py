"""Benchmark sets as they lie on the disk, and finding them under a root."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sodcli.data.image_size import picture_size
from sodcli.data.layouts import LOOKED_FOR, subfolders, twin_folders
from sodcli.data.pairs import Pair, PairList, pairs_across
from sodcli.errors import MissingError, SourceError, UsageError
from sodcli.files import own_name
from sodcli.registry import DatasetSpec, plain_name
from sodcli.text import did_you_mean, reason_of, shortened


@dataclass(frozen=True, slots=True)
class Clip:
    """Pictures that belong together, in natural order.

    Attributes:
        name: Its folder within the set, such as ``blackswan``; nothing in a flat set.
        pairs: Frames, or pictures, each with its ground truth.
    """

    name: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """A data set that was found.

    Attributes:
        name: Name of its folder, or of the link to it; where several sets share that, the path
            from the folder that was searched, such as ``DUTS/test``.
        folder: Where it lies.
        film: Whether each of its clips is a sequence of frames.
        clips: What it holds; a flat set of pictures is one clip.
        remarks: A line each: what is left out, and how its size differs from the published one.
    """

    name: str
    folder: Path
    film: bool
    clips: tuple[Clip, ...]
    remarks: tuple[str, ...]

    @property
    def pictures(self) -> int:
        """Number of pictures, or frames, with ground truth."""
        return sum(len(clip.pairs) for clip in self.clips)

    def called(self, name: str) -> "BenchmarkSet":
        """Return the set under another name."""
        own = f"{self.name}: "
        remarks = (
            f"{name}: {r.removeprefix(own)}" if r.startswith(own) else r for r in self.remarks
        )
        return replace(self, name=name, remarks=tuple(remarks))


def read_set(folder: Path, spec: DatasetSpec | None) -> BenchmarkSet | None:
    """Return the set that ``folder`` is, or nothing where no picture has a ground truth.

    Args:
        folder: Its own folder: pictures beside ground truth, or sequences of both, or a folder
            per sequence with both in it.
        spec: Its entry in models.toml. Without one, its layout says whether it is a film set.
    """
    clips: list[Clip] = []
    remarks: list[str] = []
    for name, images, masks in _parts(folder, spec):
        found = pairs_across(images, masks, str(folder))
        clips += _clips(name, images, found)
        remarks += found.problems
    if spec is not None and spec.split:
        clips = [clip for clip in clips if Path(clip.name).name in spec.split] or clips
    if not clips:
        return None
    film = all(map(_moves, clips)) if spec is None else spec.kind == "film"
    name = own_name(folder)
    remarks += _miscounts(name, clips, spec) if spec else []
    return BenchmarkSet(name, folder, film, tuple(clips), tuple(remarks))


def _parts(folder: Path, spec: DatasetSpec | None) -> list[tuple[str, Path, Path]]:
    """Return a name, a folder of pictures and one of masks, of the set or of each sequence."""
    whole = [("", *twin) for twin in _twins(folder, spec)]
    return whole or [(sub.name, *twin) for sub in subfolders(folder) for twin in _twins(sub, spec)]


def _twins(folder: Path, spec: DatasetSpec | None) -> list[tuple[Path, Path]]:
    """Return folders of pictures, each with its folder of masks: the published ones first."""
    if spec is not None:
        images = next(_those_inside(folder, spec.images), None)
        masks = next(_those_inside(folder, spec.masks), None)
        if images and masks:
            return [(images, masks)]
    return twin_folders(folder)


def _those_inside(folder: Path, places: Sequence[str]) -> Iterator[Path]:
    """Yield the folders at ``places``, such as ``JPEGImages/480p``, whatever their capitals."""
    for place in places:
        level = [folder]
        for part in place.casefold().split("/"):
            level = [sub for at in level for sub in subfolders(at) if sub.name.casefold() == part]
        yield from level


def _clips(name: str, images: Path, found: PairList) -> list[Clip]:
    """Group pairs by the folder that the picture lies in."""
    groups: dict[str, list[Pair]] = {}
    for pair in found.pairs:
        place = Path(name, pair.image.parent.relative_to(images)).as_posix()
        groups.setdefault("" if place == "." else place, []).append(pair)
    return [Clip(place, tuple(pairs)) for place, pairs in groups.items()]


def _moves(clip: Clip) -> bool:
    """Say whether these look like frames: in a folder of their own, numbered, of one size."""
    few = [clip.pairs[at] for at in (0, len(clip.pairs) // 2, -1)]
    if not clip.name or len(clip.pairs) < 2 or not all(p.image.stem[-1].isdigit() for p in few):
        return False
    try:
        return len({picture_size(pair.mask) for pair in few}) == 1
    except SourceError:
        return False


def _miscounts(name: str, clips: Sequence[Clip], spec: DatasetSpec) -> list[str]:
    """Return a remark for each count that is not the published one."""
    counts = (
        ("pictures with ground truth", sum(len(clip.pairs) for clip in clips), spec.pictures),
        ("sequences", len(clips), spec.sequences),
    )
    return [
        f"{name}: {have} {what}, {spec.name} was published with {want}"
        for what, have, want in counts
        if want is not None and have != want
    ]


Known = Mapping[str, DatasetSpec]

_DEEP: Final = 2  # how far below the root a set may lie: ROOT/DIS5K/DIS-TE1
_NAMES: Final[tuple[Callable[[Path], str], ...]] = (  # a link's own comes before its target's
    own_name,
    lambda folder: folder.resolve().name,
)


def find_sets(root: Path, names: Sequence[str], known: Known) -> list[BenchmarkSet]:
    """Find data sets under ``root``, or ``root`` itself where it is one.

    Args:
        root: A data set, or a folder of data sets.
        names: Those wanted, by their published name or by that of their folder; capitals, ``-``
            and ``_`` aside. Of several the first is taken, and a remark names the others by their
            paths below ``root``, which are names as well: ``DUTS/test``. Without names, all.
        known: The data sets of models.toml.

    Returns:
        The sets, no two of one name: see :func:`told_apart`.

    Raises:
        UsageError: If two sets cannot be told apart by their paths.
        MissingError: If one of them is not there, or there is none; it says what was looked for.
        SourceError: If a folder cannot be listed.
    """
    if not root.is_dir():
        raise MissingError(f"--data {root}: no such folder")
    try:
        found = {name: _named(root, name, known) for name in names}
        if missing := [name for name, one in found.items() if one is None]:
            raise MissingError(_not_found(root, missing, known))
        sets = list(found.values()) if names else _all_under(root, known, _DEEP)
    except OSError as error:
        raise SourceError(f"{error.filename}: {reason_of(error)}") from error
    if not sets:
        raise MissingError(f"no data set under {root}: looked for {LOOKED_FOR}")
    return told_apart(list({one.folder: one for one in sets if one is not None}.values()), root)


def told_apart(sets: Sequence[BenchmarkSet], root: Path) -> list[BenchmarkSet]:
    """Return ``sets`` so that each can have a folder of its name.

    Those of one name, capitals aside, go by their paths below ``root``: ``a/TE`` and ``b/TE``.

    Raises:
        UsageError: If two paths differ by capitals only.
    """
    count = Counter(one.name.casefold() for one in sets)
    apart: dict[str, BenchmarkSet] = {}
    for one in sets:
        shared = count[one.name.casefold()] > 1 and one.folder != root
        path = one.folder.relative_to(root).as_posix()
        found = one.called(path) if shared else one
        other = apart.setdefault(found.name.casefold(), found)
        if other is not found:
            raise UsageError(
                f"{other.folder} and {one.folder} go by one name; rename one of the folders"
            )
    return list(apart.values())


def _named(root: Path, name: str, known: Known) -> BenchmarkSet | None:
    """Return the first folder of that name that is a set; else the first link to one of it."""
    placed = _at(root, name, known) if "/" in name else None
    if placed is not None:
        return placed
    spec = _spec_of(name, known)
    for called in _NAMES:
        sets = (
            read_set(folder, spec)
            for folder in _folders(root)
            if plain_name(called(folder)) == plain_name(name)
            or (spec is not None and spec.is_called(called(folder)))
        )
        found = next(filter(None, sets), None)
        if found is not None:
            return _beside(found, filter(None, sets), root)
    return None


def _beside(one: BenchmarkSet, others: Iterator[BenchmarkSet], root: Path) -> BenchmarkSet:
    """Return the set with a remark about those that are called the same and lie elsewhere."""
    places = []
    with suppress(OSError):  # nobody asked for what cannot be listed
        for other in others:
            same = other.name.casefold() == one.name.casefold()
            if same and one.folder not in other.folder.parents:
                places.append(other.folder.relative_to(root).as_posix())
    if not places:
        return one
    remark = f"{one.name}: this is {one.folder}; as other sets name {shortened(places)}"
    return replace(one, remarks=(*one.remarks, remark))


def _at(root: Path, place: str, known: Known) -> BenchmarkSet | None:
    """Return the set at ``place`` below ``root``, such as ``DUTS/test``, under that name."""
    for folder in _folders(root):
        path = folder.relative_to(root).as_posix()
        if path.casefold() == place.strip("/").casefold():
            found = read_set(folder, _spec_at(folder, known))
            return found.called(path) if found else None
    return None


def _folders(root: Path) -> Iterator[Path]:
    """Yield ``root`` and what is below it, the higher folders first."""
    level = [root]
    for _ in range(_DEEP):
        yield from level
        level = [sub for folder in level for sub in subfolders(folder)]
    yield from level


def _all_under(root: Path, known: Known, deep: int) -> list[BenchmarkSet]:
    spec = _spec_at(root, known)
    found = read_set(root, spec)
    if found and (spec or found.film or not found.clips[0].name):  # else it is a folder of sets
        return [found]
    if deep == 0:
        return []
    return [one for sub in subfolders(root) for one in _all_under(sub, known, deep - 1)]


def _spec_at(folder: Path, known: Known) -> DatasetSpec | None:
    return next(filter(None, (_spec_of(called(folder), known) for called in _NAMES)), None)


def _spec_of(name: str, known: Known) -> DatasetSpec | None:
    return next((spec for spec in known.values() if spec.is_called(name)), None)


def _not_found(root: Path, missing: Sequence[str], known: Known) -> str:
    there = [one.name for one in told_apart(_all_under(root, known, _DEEP), root)]
    words = ", ".join(repr(name) for name in missing)
    spec = _spec_of(missing[0], known)
    page = f" {spec.name} is at {spec.page}." if spec and spec.page else ""
    hint = did_you_mean(missing[0], there if spec else [*there, *known])
    has = f"Found {shortened(there)}." if there else "Found no set at all."
    return f"no set {words} with pictures and ground truth under {root}. {has}{hint}{page}"
