"""Find benchmark sets below a root folder and read their layouts."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sodcli.data.pairs import LOOKED_FOR, Pair, PairList, pairs_across, subfolders, twin_folders
from sodcli.data.read import picture_size
from sodcli.errors import MissingError, SourceError, UsageError
from sodcli.files import own_name
from sodcli.registry import DatasetSpec, plain_name
from sodcli.text import did_you_mean, plural, reason_of, shortened


@dataclass(frozen=True, slots=True)
class PairGroup:
    """Pairs of one subfolder of a set, in natural order: a film, or pictures.

    Attributes:
        name: Folder within the set, such as ``blackswan``; empty in a flat set.
        pairs: Pictures with their ground truth.
    """

    name: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """A data set on the disk.

    Attributes:
        name: Name of its folder, or of the link to it; if several sets share it, the path from
            the searched folder, such as ``DUTS/test``.
        folder: Path of the set.
        film: Whether each group is a sequence of frames.
        groups: The pairs by subfolder; a flat set is one group.
        remarks: Messages about files that are left out and about unexpected counts.
    """

    name: str
    folder: Path
    film: bool
    groups: tuple[PairGroup, ...]
    remarks: tuple[str, ...]

    @property
    def pictures(self) -> int:
        """Number of pictures, or frames, with ground truth."""
        return sum(len(group.pairs) for group in self.groups)

    def called(self, name: str) -> "BenchmarkSet":
        """Return the set with another name."""
        own = f"{self.name}: "
        remarks = (
            f"{name}: {r.removeprefix(own)}" if r.startswith(own) else r for r in self.remarks
        )
        return replace(self, name=name, remarks=tuple(remarks))


def read_set(folder: Path, spec: DatasetSpec | None) -> BenchmarkSet | None:
    """Read ``folder`` as one data set; return None if no picture has a ground truth.

    Args:
        folder: Holds pictures beside ground truth, or sequences of both, or a folder per sequence
            with both in it.
        spec: Entry of models.toml. Without one, the layout decides whether it is a film set.
    """
    groups: list[PairGroup] = []
    remarks: list[str] = []
    for name, images, masks in _parts(folder, spec):
        found = pairs_across(images, masks, str(folder))
        groups += _groups(name, images, found)
        remarks += found.problems
    if spec is not None and spec.split:
        groups = [group for group in groups if Path(group.name).name in spec.split] or groups
    if not groups:
        return None
    film = all(map(_looks_like_film, groups)) if spec is None else spec.kind == "film"
    name = own_name(folder)
    remarks += _miscounts(name, groups, spec) if spec else []
    return BenchmarkSet(name, folder, film, tuple(groups), tuple(remarks))


def _parts(folder: Path, spec: DatasetSpec | None) -> list[tuple[str, Path, Path]]:
    """Return name, folder of pictures and folder of masks of the set, or of each sequence."""
    whole = [("", *twin) for twin in _twins(folder, spec)]
    return whole or [(sub.name, *twin) for sub in subfolders(folder) for twin in _twins(sub, spec)]


def _twins(folder: Path, spec: DatasetSpec | None) -> list[tuple[Path, Path]]:
    """Return folders of pictures with their folders of masks, preferring those of models.toml."""
    if spec is not None:
        images = next(_those_inside(folder, spec.images), None)
        masks = next(_those_inside(folder, spec.masks), None)
        if images and masks:
            return [(images, masks)]
    return twin_folders(folder)


def _those_inside(folder: Path, places: Sequence[str]) -> Iterator[Path]:
    """Yield the folders at ``places``, such as ``JPEGImages/480p``, ignoring case."""
    for place in places:
        level = [folder]
        for part in place.casefold().split("/"):
            level = [sub for at in level for sub in subfolders(at) if sub.name.casefold() == part]
        yield from level


def _groups(name: str, images: Path, found: PairList) -> list[PairGroup]:
    """Group pairs by the folder that the picture lies in."""
    groups: dict[str, list[Pair]] = {}
    for pair in found.pairs:
        place = Path(name, pair.image.parent.relative_to(images)).as_posix()
        groups.setdefault("" if place == "." else place, []).append(pair)
    return [PairGroup(place, tuple(pairs)) for place, pairs in groups.items()]


def _looks_like_film(group: PairGroup) -> bool:
    """Return True if the pairs look like frames: own folder, numbered names, one size."""
    few = [group.pairs[at] for at in (0, len(group.pairs) // 2, -1)]
    if not group.name or len(group.pairs) < 2 or not all(p.image.stem[-1].isdigit() for p in few):
        return False
    try:
        return len({picture_size(pair.mask) for pair in few}) == 1
    except SourceError:
        return False


def _miscounts(name: str, groups: Sequence[PairGroup], spec: DatasetSpec) -> list[str]:
    """Return a message for each count that differs from the published one."""
    counts = (
        ("annotated picture", sum(len(group.pairs) for group in groups), spec.pictures),
        ("sequence", len(groups), spec.sequences),
    )
    return [
        f"{name}: {plural(have, what)}, {spec.name} was published with {want}"
        for what, have, want in counts
        if want is not None and have != want
    ]


Known = Mapping[str, DatasetSpec]

_DEEP: Final = 2  # levels below the root to search: ROOT/DIS5K/DIS-TE1
_NAMES: Final[tuple[Callable[[Path], str], ...]] = (  # a link's own name precedes its target's
    own_name,
    lambda folder: folder.resolve().name,
)


def find_sets(root: Path, names: Sequence[str], known: Known) -> list[BenchmarkSet]:
    """Find data sets under ``root``, or return ``root`` itself if it is one.

    Args:
        root: A data set, or a folder of data sets.
        names: Published names or folder names of the sets to find; case, ``-`` and ``_`` are
            ignored. Of several matches the first is taken and a remark lists the others by their
            paths below ``root``, which are accepted as names too: ``DUTS/test``. Empty: all sets.
        known: The data sets of models.toml.

    Returns:
        Sets with unique names: see :func:`with_unique_names`.

    Raises:
        UsageError: If two sets have the same name and path apart from case.
        MissingError: If a named set, or any set at all, is missing; the message lists the names.
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
    return with_unique_names(
        list({one.folder: one for one in sets if one is not None}.values()), root
    )


def with_unique_names(sets: Sequence[BenchmarkSet], root: Path) -> list[BenchmarkSet]:
    """Rename sets that share a name, so that each name is unique and can name a folder.

    Sets whose names are equal apart from case are named by their paths below ``root``: ``a/TE``
    and ``b/TE``.

    Raises:
        UsageError: If two paths differ by case only.
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
    """Return the first folder called ``name`` that is a set, or the first link to such a folder."""
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
    """Return the set with a remark about other sets of the same name."""
    places = []
    with suppress(OSError):  # ignore folders that cannot be listed
        for other in others:
            same = other.name.casefold() == one.name.casefold()
            if same and one.folder not in other.folder.parents:
                places.append(other.folder.relative_to(root).as_posix())
    if not places:
        return one
    remark = f"{one.name}: this is {one.folder}; as other sets name {shortened(places)}"
    return replace(one, remarks=(*one.remarks, remark))


def _at(root: Path, place: str, known: Known) -> BenchmarkSet | None:
    """Return the set at the path ``place`` below ``root``, such as ``DUTS/test``."""
    for folder in _folders(root):
        path = folder.relative_to(root).as_posix()
        if path.casefold() == place.strip("/").casefold():
            found = read_set(folder, _spec_at(folder, known))
            return found.called(path) if found else None
    return None


def _folders(root: Path) -> Iterator[Path]:
    """Yield ``root`` and the folders below it, level by level."""
    level = [root]
    for _ in range(_DEEP):
        yield from level
        level = [sub for folder in level for sub in subfolders(folder)]
    yield from level


def _all_under(root: Path, known: Known, deep: int) -> list[BenchmarkSet]:
    spec = _spec_at(root, known)
    found = read_set(root, spec)
    # Without an entry in models.toml, subfolders of photos are sets of their own.
    if found and (spec or found.film or not found.groups[0].name):
        return [found]
    if deep == 0:
        return []
    return [one for sub in subfolders(root) for one in _all_under(sub, known, deep - 1)]


def _spec_at(folder: Path, known: Known) -> DatasetSpec | None:
    return next(filter(None, (_spec_of(called(folder), known) for called in _NAMES)), None)


def _spec_of(name: str, known: Known) -> DatasetSpec | None:
    return next((spec for spec in known.values() if spec.is_called(name)), None)


def _not_found(root: Path, missing: Sequence[str], known: Known) -> str:
    there = [one.name for one in with_unique_names(_all_under(root, known, _DEEP), root)]
    words = ", ".join(repr(name) for name in missing)
    spec = _spec_of(missing[0], known)
    page = f" {spec.name} is at {spec.page}." if spec and spec.page else ""
    hint = did_you_mean(missing[0], there if spec else [*there, *known])
    has = f"Found {shortened(there)}." if there else "Found no set at all."
    return f"no set {words} with pictures and ground truth under {root}. {has}{hint}{page}"
