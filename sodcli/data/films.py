"""Films of a data set with all their frames, annotated or not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sodcli.data.benchmark import BenchmarkSet, Clip
from sodcli.data.benchmarks import find_sets
from sodcli.data.layouts import pictures_in
from sodcli.errors import MissingError
from sodcli.registry import DatasetSpec


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
