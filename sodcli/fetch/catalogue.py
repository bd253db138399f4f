"""The catalogue of ``sod fetch``: list, fetch and verify entries of models.toml."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sodcli.errors import ChecksumError, SodError, UnknownNameError
from sodcli.fetch.datasets import (
    Unpacked,
    fetch_dataset,
    import_dataset,
    is_here,
    place,
    source_of,
    sources,
    terms_of,
)
from sodcli.fetch.weights import Supply, fetch_weights, import_weights, is_recorded
from sodcli.registry import ArchiveSpec, DatasetSpec, MapsSpec, Registry, WeightsSpec
from sodcli.text import did_you_mean, plural
from sodcli.weights import cache
from sodcli.weights.download_settings import check
from sodcli.weights.lockfile import Lockfile, Record

Way = Literal["built in", "download", "by hand"]
Group = Literal["weights", "test sets", "training sets", "archives", "saliency maps"]
Entry = WeightsSpec | Unpacked


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the catalogue.

    Attributes:
        name: The argument of ``sod fetch``.
        kind: Kind of the entry.
        group: Heading under which it is listed.
        model: The model that the weights fit, or that made the maps.
        about: Training data of weights; title and number of pictures of a data set; content of
            other entries.
        size: Size of the published file in bytes, if known.
        license: Licence of the weights or maps; terms of a data set.
        terms: Terms of the training data, if they apply to users of the weights.
        code: Licence of the program that the weights were published with.
        sha256: Digest that a download must have; ``None`` if the first download is trusted.
        paper: The publication.
        page: Web page of the published file.
        way: How to get it: built in, by download or by hand.
        source: The first address that it is downloaded from.
        archive: The archive that it is part of, if it is not published separately.
        path: Its path on this machine, whether it is present or not.
        here: Whether it is present.
    """

    name: str
    kind: Literal["weights", "data", "archive", "maps"]
    group: Group
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
    archive: str | None
    path: Path
    here: bool


@dataclass(frozen=True, slots=True)
class FetchOutcome:
    """The result of fetching one entry.

    Attributes:
        name: Its name.
        status: ``here`` means that it was already present.
        path: Our weights file, or the folder of the data set.
        error: Why it could not be fetched.
    """

    name: str
    status: Literal["fetched", "here", "failed"]
    path: Path | None = None
    error: SodError | None = None


def find_entries(names: Iterable[str], registry: Registry) -> list[Entry]:
    """Return the entries with these names; the name of a model means its default weights.

    Raises:
        UnknownNameError: If a name is unknown; the message suggests the closest one.
    """
    return [_find(name, registry) for name in names]


def all_entries(registry: Registry) -> list[Entry]:
    """Return all entries of models.toml that can be fetched."""
    sets = sorted(registry.datasets.values(), key=lambda one: one.part)  # test before train
    return [
        *registry.weights.values(),
        *sets,
        *registry.archives.values(),
        *registry.maps.values(),
    ]


def describe(entry: Entry, registry: Registry, root: Path) -> Item:
    """Return the catalogue's line for ``entry``; data sets are looked up in ``root``."""
    if not isinstance(entry, WeightsSpec):
        return _of_unpacked(entry, registry, root)
    mirrors, path = cache.mirrors(entry.name, entry.mirrors), cache.stored(entry)
    return Item(
        name=entry.name,
        kind="weights",
        group="weights",
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
        archive=None,
        path=path,
        here=path.is_file(),
    )


def _of_unpacked(entry: Unpacked, registry: Registry, root: Path) -> Item:
    source = source_of(entry, registry)
    addresses = sources(source)
    kind, group, about, paper = _about(entry, registry)
    model = entry.model if isinstance(entry, MapsSpec) else None
    return Item(
        name=entry.name,
        kind=kind,
        group=group,
        model=model,
        about=about,
        size=None if isinstance(source, DatasetSpec) else source.size,
        license=terms_of(entry),
        terms=None,
        code=registry.models[model].license if model else None,
        sha256=None if isinstance(entry, DatasetSpec) else entry.sha256,
        paper=paper,
        page=entry.page,
        way="download" if addresses else "by hand",
        source=next(iter(addresses), None),
        archive=source.name if source is not entry else None,
        path=place(entry, root),
        here=is_here(entry, registry, root),
    )


def _about(
    entry: Unpacked, registry: Registry
) -> tuple[Literal["data", "archive", "maps"], Group, str, str]:
    """Return kind, group, description and publication."""
    if isinstance(entry, MapsSpec):
        return "maps", "saliency maps", entry.title, registry.models[entry.model].paper
    if isinstance(entry, ArchiveSpec):
        names = ", ".join(one.name for one in registry.sets_of(entry))
        return "archive", "archives", f"{entry.title}: {names}", "those of the sets"
    counts = ((entry.pictures, "picture"), (entry.sequences, "sequence"))
    title = [] if entry.title == entry.name else [entry.title]
    told = [*title, *(plural(count, noun) for count, noun in counts if count)]
    group: Group = "test sets" if entry.part == "test" else "training sets"
    return "data", group, ", ".join(told), entry.paper


def fetch_all(
    entries: Iterable[Entry],
    registry: Registry,
    root: Path,
    supply: Supply,
    report: Callable[[FetchOutcome], None],
) -> list[FetchOutcome]:
    """Fetch ``entries`` one after the other; one that fails does not affect the others.

    Args:
        entries: What to fetch.
        registry: The registry of the entries.
        root: Folder for data sets.
        supply: How to fetch.
        report: Called with each outcome as soon as it is known.
    """
    outcomes = []
    for entry in entries:
        outcomes.append(_outcome(entry, registry, root, supply))
        report(outcomes[-1])
    return outcomes


def take(file: Path, entry: Entry, registry: Registry, root: Path, *, force: bool = False) -> Path:
    """Install the local ``file`` as the published file of ``entry``; return the installed path.

    With ``force`` it may differ from the file first fetched, if no digest is published.

    Raises:
        MissingError: If the file does not exist, or is not the file of ``entry``.
        UsageError: If ``entry`` is part of the package.
    """
    if isinstance(entry, WeightsSpec):
        return import_weights(file, entry, registry, force=force)
    return import_dataset(file, entry, registry, root, force=force)


def verify(entries: Iterable[Entry]) -> Iterator[tuple[str, str]]:
    """Hash fetched weights again; yield each name with a description of the problem, or ``""``.

    Data sets are skipped, because their archives are not kept.

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
        return f"{path}: lock.toml has no checksum of it"
    if entry.sha256 not in (None, record.published_sha256):
        return f"{path}: made from a file that is not the published one"
    try:
        check(path, record.ours, str(path))
    except ChecksumError as error:
        return str(error)
    return ""


def _outcome(entry: Entry, registry: Registry, root: Path, supply: Supply) -> FetchOutcome:
    try:
        if isinstance(entry, WeightsSpec):
            here = entry.builtin or is_recorded(entry)
            path = fetch_weights(entry, registry, supply)
        else:
            here = is_here(entry, registry, root)
            path = fetch_dataset(entry, registry, root, supply)
    except SodError as error:
        return FetchOutcome(entry.name, "failed", error=error)
    return FetchOutcome(entry.name, "here" if here and not supply.force else "fetched", path)


def _find(name: str, registry: Registry) -> Entry:
    if name in registry.weights:
        return registry.weights[name]
    model = registry.models.get(name)
    if model is not None and model.weights:
        return registry.weights[model.weights]
    if name in registry.archives:
        return registry.archives[name]
    if name in registry.maps:
        return registry.maps[name]
    for entry in registry.datasets.values():
        if entry.is_called(name):
            return entry
    known = [*registry.weights, *registry.datasets, *registry.archives, *registry.maps]
    hint = did_you_mean(name, known)
    raise UnknownNameError(
        f"no weights, data set or maps named {name!r}.{hint} sod fetch --list shows all."
    )
