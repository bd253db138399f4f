"""Films of a data set with all their frames, annotated or not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sodcli.data.benchmarks import BenchmarkSet, Clip, find_sets
from sodcli.data.layouts import pictures_in
from sodcli.data.pairs import Pair, PairList
from sodcli.errors import MissingError
from sodcli.files import user_path
from sodcli.registry import DatasetSpec
from sodcli.text import shortened


@dataclass(frozen=True, slots=True)
class Film:
    """One sequence.

    Attributes:
        set: Name of the data set's folder.
        name: Of the sequence.
        frames: All of them, in natural order.
        masks: The annotations, by the place of their frame.
    """

    set: str
    name: str
    frames: tuple[Path, ...]
    masks: Mapping[int, Path]


@dataclass(frozen=True, slots=True)
class FilmList:
    """Films in natural order and, a line each, what is left out."""

    films: tuple[Film, ...]
    remarks: tuple[str, ...]


def find_films(root: Path, names: Sequence[str], known: Mapping[str, DatasetSpec]) -> FilmList:
    """Find the films to learn from under ``root``.

    Of a set of models.toml the sequences that it is tested on are left out, if there are others.

    Args:
        root: A folder of data sets, or a data set.
        names: The sets wanted; without names, all films there are.
        known: The data sets of models.toml.

    Raises:
        MissingError: If a set is not there, or has no films.
    """
    whole = {name: replace(spec, split=()) for name, spec in known.items()}
    sets = find_sets(root, names, whole)
    films: list[Film] = []
    remarks: list[str] = []
    for one in sets if names else [one for one in sets if one.film]:
        if not one.film:
            raise MissingError(f"{one.folder}: no films; it needs a folder of frames per sequence")
        clips = _untested(one, known)
        films += _films(one, clips)
        if left := len(one.clips) - len(clips):
            remarks.append(f"{one.name}: sequences that it is tested on are left out: {left}")
    if not films:
        raise MissingError(f"no films under {root}; looked for a folder of frames per sequence")
    return FilmList(tuple(films), tuple(remarks))


def _untested(one: BenchmarkSet, known: Mapping[str, DatasetSpec]) -> Sequence[Clip]:
    tested = {name for spec in known.values() if spec.is_called(one.name) for name in spec.split}
    return [clip for clip in one.clips if Path(clip.name).name not in tested] or one.clips


def _films(one: BenchmarkSet, clips: Sequence[Clip]) -> Iterator[Film]:
    for clip in clips:
        frames = tuple(pictures_in(clip.pairs[0].image.parent))
        places = {frame: place for place, frame in enumerate(frames)}
        masks = {places[pair.image]: pair.mask for pair in clip.pairs}
        yield Film(one.name, clip.name, frames, masks)


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
    problems = (f"{labels}: no labels of {shortened(without)}",) if without else ()
    return PairList(tuple(found), problems)


def _pairs_of(film: Film, labels: Path, source: str) -> Iterator[Pair]:
    for frame in film.frames:
        label = labels / film.set / film.name / f"{frame.stem}.png"
        if label.is_file():
            yield Pair(frame, label, source)
