"""Benchmark sets under a root, found by name or all of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from sodcli.data.benchmark import BenchmarkSet, read_set
from sodcli.data.layouts import LOOKED_FOR, subfolders
from sodcli.data.pairs import capped
from sodcli.errors import MissingError, SourceError
from sodcli.files import own_name
from sodcli.registry import DatasetSpec, did_you_mean, plain_name

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
            and ``_`` aside. Without names, all there are.
        known: The data sets of models.toml.

    Raises:
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
        raise SourceError(f"{error.filename}: {error.strerror}") from error
    if not sets:
        raise MissingError(f"no data set under {root}: looked for {LOOKED_FOR}")
    return list({one.folder: one for one in sets if one is not None}.values())


def _named(root: Path, name: str, known: Known) -> BenchmarkSet | None:
    """Return the first folder of that name that is a set; else the first link to one of it."""
    spec = _spec_of(name, known)
    for called in _NAMES:
        for folder in _folders(root):
            plain = plain_name(called(folder)) == plain_name(name)
            if plain or (spec is not None and spec.is_called(called(folder))):
                found = read_set(folder, spec)
                if found:
                    return found
    return None


def _folders(root: Path) -> Iterator[Path]:
    """Yield ``root`` and what is below it, the higher folders first."""
    level = [root]
    for _ in range(_DEEP):
        yield from level
        level = [sub for folder in level for sub in subfolders(folder)]
    yield from level


def _all_under(root: Path, known: Known, deep: int) -> list[BenchmarkSet]:
    spec = next(filter(None, (_spec_of(called(root), known) for called in _NAMES)), None)
    found = read_set(root, spec)
    if found and (spec or found.film or not found.clips[0].name):  # else it is a folder of sets
        return [found]
    if deep == 0:
        return []
    return [one for sub in subfolders(root) for one in _all_under(sub, known, deep - 1)]


def _spec_of(name: str, known: Known) -> DatasetSpec | None:
    return next((spec for spec in known.values() if spec.is_called(name)), None)


def _not_found(root: Path, missing: Sequence[str], known: Known) -> str:
    there = [one.name for one in _all_under(root, known, _DEEP)]
    words = ", ".join(repr(name) for name in missing)
    spec = _spec_of(missing[0], known)
    page = f" {spec.name} is at {spec.page}." if spec and spec.page else ""
    hint = did_you_mean(missing[0], there if spec else [*there, *known])
    has = f"Found {capped(there)}." if there else "Found no set at all."
    return f"no set {words} with pictures and ground truth under {root}. {has}{hint}{page}"
