"""What can be fetched, what is here, and whether it is still what it was."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sodcli.errors import ChecksumError, UnknownNameError
from sodcli.registry import DatasetSpec, Registry, WeightsSpec
from sodcli.text import did_you_mean
from sodcli.weights import cache
from sodcli.weights.expected import check
from sodcli.weights.lockfile import Lockfile, Record

Way = Literal["built in", "download", "by hand"]
Entry = WeightsSpec | DatasetSpec


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the catalogue.

    Attributes:
        name: What to type after ``sod fetch``.
        kind: Whether it is weights or a data set.
        model: The model that the weights fit.
        about: What the weights were trained on; the set's full name.
        size: Bytes of the published file, if known.
        license: Licence of the weights; of a data set its terms.
        terms: Terms of the training data, where they bind who uses the weights.
        code: Licence of the program that the weights were published with.
        sha256: Digest that a download must have; ``None`` if the first one is to be trusted.
        paper: Where it was published.
        page: Where a person finds it.
        way: How it gets here.
        source: The first address that it is downloaded from.
        path: Where it lies, or will lie.
        here: Whether it is here.
    """

    name: str
    kind: Literal["weights", "data"]
    model: str | None
    about: str
    size: int | None
    license: str
    terms: str | None
    code: str | None
    sha256: str | None
    paper: str
    page: str | None
    way: Way
    source: str | None
    path: Path
    here: bool


def find_entries(names: Iterable[str], registry: Registry) -> list[Entry]:
    """Return the weights and data sets of these names; a model stands for its own weights.

    Raises:
        UnknownNameError: If there is none of a name; the message suggests the nearest.
    """
    return [_find(name, registry) for name in names]


def all_entries(registry: Registry) -> list[Entry]:
    """Return everything that models.toml names."""
    return [*registry.weights.values(), *registry.datasets.values()]


def describe(entry: Entry, registry: Registry, root: Path) -> Item:
    """Return the catalogue's line on ``entry``; data sets are looked for below ``root``."""
    if isinstance(entry, DatasetSpec):
        return _of_dataset(entry, root / entry.name)
    mirrors, path = cache.mirrors(entry.name, entry.mirrors), cache.stored(entry)
    return Item(
        name=entry.name,
        kind="weights",
        model=entry.model,
        about=entry.trained_on + (" (backbone only)" if entry.partial else ""),
        size=entry.size,
        license=entry.license,
        terms=entry.terms,
        code=registry.models[entry.model].license,
        sha256=entry.sha256,
        paper=registry.models[entry.model].paper,
        page=entry.page,
        way="built in" if entry.builtin else "download" if mirrors else "by hand",
        source=next(iter(mirrors), None),
        path=path,
        here=path.is_file(),
    )


def _of_dataset(entry: DatasetSpec, path: Path) -> Item:
    mirrors = cache.mirrors(entry.name, [entry.url] if entry.url else [])
    return Item(
        name=entry.name,
        kind="data",
        model=None,
        about=entry.title,
        size=None,
        license=entry.terms,
        terms=None,
        code=None,
        sha256=None,
        paper=entry.paper,
        page=entry.page,
        way="download" if mirrors else "by hand",
        source=next(iter(mirrors), None),
        path=path,
        here=path.is_dir(),
    )


def verify(entries: Iterable[Entry]) -> Iterator[tuple[str, str]]:
    """Hash again what was fetched; give each name with what is wrong, or nothing.

    Data sets are left out: they are many files, and their archives are gone.

    Raises:
        MissingError: If the record of what was fetched is damaged.
        OSError: If a file cannot be read.
    """
    records = Lockfile(cache.home()).records()
    for entry in entries:
        if isinstance(entry, WeightsSpec) and not entry.builtin and cache.stored(entry).is_file():
            problem = _problem(entry, records.get(entry.name))
            way = "--force" if cache.mirrors(entry.name, entry.mirrors) else "--from FILE"
            advice = f"; run: sod fetch {entry.name} {way}"
            yield entry.name, f"{problem}{advice}" if problem else ""


def _problem(entry: WeightsSpec, record: Record | None) -> str:
    path = cache.stored(entry)
    if record is None:
        return f"{path}: nobody wrote down what it was"
    if entry.sha256 not in (None, record.published_sha256):
        return f"{path}: made from another file than the published one"
    try:
        check(path, record.ours, str(path))
    except ChecksumError as error:
        return str(error)
    return ""


def _find(name: str, registry: Registry) -> Entry:
    if name in registry.weights:
        return registry.weights[name]
    if name in registry.models and registry.models[name].weights:
        return registry.weights[registry.models[name].weights or ""]
    for entry in registry.datasets.values():
        if entry.is_called(name):
            return entry
    known = [*registry.weights, *registry.datasets]
    hint = did_you_mean(name, known)
    raise UnknownNameError(
        f"no weights and no data set named {name!r}.{hint} sod fetch --list shows all."
    )
