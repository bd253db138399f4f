"""Films with the pseudo labels that ``sod pseudo-label`` made for them, as pairs to train on."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sodcli.data.films import Film, find_films
from sodcli.data.pairs import Pair, PairList, capped
from sodcli.errors import MissingError
from sodcli.files import user_path
from sodcli.registry import DatasetSpec


def pseudo_pairs(
    folders: Sequence[str], labels: Path, known: Mapping[str, DatasetSpec]
) -> PairList:
    """Find the frames of films that have a pseudo label, or ground truth that was kept.

    Ground truth that was held back when the labels were made stays held back.

    Args:
        folders: Data sets, or folders of data sets.
        labels: What ``sod pseudo-label`` wrote: ``M_L``, with ``SET/FILM/FRAME.png`` in it.
        known: The data sets of models.toml.

    Raises:
        MissingError: If there are no films, or none of them has labels.
    """
    if not labels.is_dir():
        raise MissingError(f"--pseudo-labels {labels}: no such folder; sod pseudo-label makes it")
    found: list[Pair] = []
    without: list[str] = []
    for folder in folders:
        for film in find_films(user_path(folder), (), known).films:
            pairs = list(_pairs_of(film, labels, folder))
            found += pairs
            if not pairs:
                without.append(f"{film.set}/{film.name}")
    if not found:
        raise MissingError(f"--pseudo-labels {labels}: no label of {', '.join(folders)} in it")
    problems = (f"{labels}: no labels of {capped(without)}",) if without else ()
    return PairList(tuple(found), problems)


def _pairs_of(film: Film, labels: Path, source: str) -> Iterator[Pair]:
    for frame in film.frames:
        label = labels / film.set / film.name / f"{frame.stem}.png"
        if label.is_file():
            yield Pair(frame, label, source)
