"""Fetch several entries of any kind; one that fails does not affect the others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sodcli.errors import SodError
from sodcli.fetch.catalogue import Entry, describe
from sodcli.fetch.datasets import fetch_dataset, import_dataset
from sodcli.fetch.weights import Supply, fetch_weights, import_weights
from sodcli.registry import Registry, WeightsSpec


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


def fetch_all(
    entries: Iterable[Entry],
    registry: Registry,
    root: Path,
    supply: Supply,
    report: Callable[[FetchOutcome], None],
) -> list[FetchOutcome]:
    """Fetch ``entries`` one after the other, data sets into ``root``.

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


def take(file: Path, entry: Entry, registry: Registry, root: Path) -> Path:
    """Install the local ``file`` as the published file of ``entry``; return the installed path.

    Raises:
        MissingError: If the file does not exist, or is not the file of ``entry``.
    """
    if isinstance(entry, WeightsSpec):
        return import_weights(file, entry, registry)
    return import_dataset(file, entry, registry, root)


def _outcome(entry: Entry, registry: Registry, root: Path, supply: Supply) -> FetchOutcome:
    before = describe(entry, registry, root).here and not supply.force
    try:
        if isinstance(entry, WeightsSpec):
            path = fetch_weights(entry, registry, supply)
        else:
            path = fetch_dataset(entry, registry, root, supply)
    except SodError as error:
        return FetchOutcome(entry.name, "failed", error=error)
    return FetchOutcome(entry.name, "here" if before else "fetched", path)
