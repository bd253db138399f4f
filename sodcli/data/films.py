"""Films of a data set: sequences of frames, annotated in full or sparsely."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.data.benchmarks import BenchmarkSet, Known, PairGroup, find_sets
from sodcli.data.clips import Clip, Cut, by_folder, disjoint_clips, frames_apart
from sodcli.data.pairs import (
    Pair,
    PairList,
    hold_out,
    hold_out_films,
    pictures_in,
    twin_folders,
)
from sodcli.data.read import read_image
from sodcli.errors import MissingError, SourceError
from sodcli.files import user_path
from sodcli.text import shortened

_DEEP: Final = 3  # folders from a set to its frames: JPEGImages/480p/bear


@dataclass(frozen=True, slots=True)
class Film:
    """One sequence of frames.

    Attributes:
        set: Name of the data set's folder.
        name: Name of the sequence.
        frames: All frames, in natural order.
        masks: Annotations by the index of their frame.
    """

    set: str
    name: str
    frames: tuple[Path, ...]
    masks: Mapping[int, Path]


@dataclass(frozen=True, slots=True)
class FilmList:
    """Films in natural order, and one message per item that is left out."""

    films: tuple[Film, ...]
    remarks: tuple[str, ...]


def find_films(root: Path, names: Sequence[str], known: Known) -> FilmList:
    """Find the films under ``root`` to train on.

    Sequences in the test split of a set, as listed in models.toml, are left out if there are
    others.

    Args:
        root: A folder of data sets, a data set, or one sequence: a folder with its frames and
            annotations, or its folder of frames, such as ``DAVIS/JPEGImages/480p/bear``.
        names: Sets to use; empty for all film sets.
        known: The data sets of models.toml.

    Raises:
        MissingError: If a set does not exist or has no films.
    """
    whole = {name: replace(spec, split=()) for name, spec in known.items()}
    alone = None if names else _in_trees(root, whole)
    sets = [alone] if alone else [_as_film(one, root) for one in find_sets(root, names, whole)]
    films: list[Film] = []
    remarks: list[str] = []
    for one in sets if names else [one for one in sets if one.film]:
        if not one.film:
            raise MissingError(f"{one.folder}: no films; it needs a folder of frames per sequence")
        groups = _untested(one, known)
        films += _films(one, groups)
        if left := len(one.groups) - len(groups):
            remarks.append(f"{one.name}: sequences that it is tested on are left out: {left}")
    if not films:
        raise MissingError(f"no films under {root}; looked for a folder of frames per sequence")
    return FilmList(tuple(films), tuple(remarks))


def _in_trees(root: Path, known: Known) -> BenchmarkSet | None:
    """Return the film set that has ``root`` in its folder of frames, with these frames alone.

    ``DAVIS/JPEGImages/480p/bear`` gives ``DAVIS`` with the sequence ``bear``.
    """
    place = Path(os.path.realpath(root))  # a loop of links is no error here
    with suppress(OSError, MissingError):
        for folder in place.parents[:_DEEP]:
            if any(place.is_relative_to(images) for images, _ in twin_folders(folder)):
                for one in (_as_film(one, folder) for one in find_sets(folder, [], known)):
                    own = [g for g in one.groups if g.pairs[0].image.is_relative_to(place)]
                    if one.film and own:
                        return replace(one, groups=tuple(own))
    return None


def _as_film(one: BenchmarkSet, root: Path) -> BenchmarkSet:
    """Return the set of the parent folder, with this sequence alone, if ``root`` is a sequence."""
    pairs = one.groups[0].pairs
    if one.film or one.folder != root or len(one.groups) > 1:
        return one
    frames = pictures_in(pairs[0].image.parent)  # neighbours, unlike those with annotations
    if not is_film(frames):
        return one
    place = root.resolve()
    alone = PairGroup(place.name, pairs)
    return replace(one, name=place.parent.name or one.name, film=True, groups=(alone,))


def _untested(one: BenchmarkSet, known: Known) -> Sequence[PairGroup]:
    tested = {name for spec in known.values() if spec.is_called(one.name) for name in spec.split}
    return [group for group in one.groups if Path(group.name).name not in tested] or one.groups


def _films(one: BenchmarkSet, groups: Sequence[PairGroup]) -> Iterator[Film]:
    for group in groups:
        frames = tuple(pictures_in(group.pairs[0].image.parent))
        places = {frame: place for place, frame in enumerate(frames)}
        masks = {places[pair.image]: pair.mask for pair in group.pairs}
        yield Film(one.name, group.name, frames, masks)


def pseudo_pairs(folders: Sequence[str], labels: Path, known: Known) -> PairList:
    """Pair the frames of films with the labels that ``sod pseudo-label`` wrote.

    Ground truth that ``sod pseudo-label`` dropped is not used.

    Args:
        folders: Data sets, or folders of data sets.
        labels: Folder ``M_L`` with files ``SET/FILM/FRAME.png``.
        known: The data sets of models.toml.

    Raises:
        MissingError: If there are no films, or no film has labels.
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


_LOOKS: Final = 10  # pairs of neighbours to compare, evenly spread over the folder
_THUMB: Final = 16
_NEARER: Final = 0.6  # max. ratio: difference of neighbours / of distant pictures; 1 for photos
_SAME: Final = 0.04  # pictures with a smaller difference are frames of a film
_ALIKE: Final = 0.12  # max. mean difference of thumbnails: DAVIS frames 0.01-0.07, photos 0.2-0.3


@dataclass(frozen=True, slots=True)
class Footage:
    """Training pairs, divided into films and photos.

    Attributes:
        films: Pairs of each film, in frame order.
        photos: Pairs that belong to no film.
    """

    films: tuple[tuple[Pair, ...], ...]
    photos: tuple[Pair, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs, those of films first."""
        return (*(pair for film in self.films for pair in film), *self.photos)

    def only(self, pairs: Collection[Pair]) -> "Footage":
        """Return the footage restricted to ``pairs``."""
        kept = set(pairs)
        films = (tuple(pair for pair in film if pair in kept) for film in self.films)
        photos = tuple(pair for pair in self.photos if pair in kept)
        return Footage(tuple(film for film in films if film), photos)

    def sparse(self, interval: int) -> "Footage":
        """Keep every ``interval``-th pair of each film, and all photos."""
        return Footage(tuple(film[::interval] for film in self.films), self.photos)

    def clips(
        self, length: int, gaps: Sequence[int], cut: Cut = disjoint_clips
    ) -> tuple[Clip, ...]:
        """Return the clips of the films at each of ``gaps``, then one clip per photo.

        Args:
            length: Frames of a clip.
            gaps: Distances in the film between neighbouring frames of a clip. Where only every g-th
                frame has a mask, by the numbers in the file names, the smallest distance is g.
            cut: Cuts a film into clips.
        """
        clips: dict[Clip, None] = {}  # short films give the same clip for several gaps
        for film in self.films:
            apart = frames_apart(film)
            for gap in gaps:
                for places in cut(len(film), length, max(1, int(gap // apart))):
                    clips[Clip(tuple(film[place] for place in places))] = None
        return (*clips, *(Clip((photo,)) for photo in self.photos))


def find_footage(pairs: Sequence[Pair]) -> Footage:
    """Divide ``pairs`` into films and photos.

    A folder is a film if its pictures have the same size and neighbours are similar. Neighbours
    must also be more similar than distant pictures, which excludes photos with a common background.
    """
    groups = [(group, is_film([pair.image for pair in group])) for group in by_folder(pairs)]
    films = tuple(group for group, film in groups if film)
    inside = {pair for film in films for pair in film}
    return Footage(films, tuple(pair for pair in pairs if pair not in inside))


def is_film(pictures: Sequence[Path]) -> bool:
    """Return True if ``pictures``, in their order, are frames of one film."""
    if len(pictures) < 2:
        return False
    places = np.unique(np.linspace(0, len(pictures) - 2, _LOOKS).astype(int))
    try:
        looks = [[read_image(pictures[at]) for at in (place, place + 1)] for place in places]
    except SourceError:
        return False
    if len({picture.shape for look in looks for picture in look}) > 1:
        return False
    near = np.median([_difference(*look) for look in looks])
    half = len(looks) // 2
    far = np.median(
        [_difference(a, b) for (a, _), (b, _) in zip(looks, looks[half:], strict=False)]
    )
    return bool(near < _SAME or (near < _ALIKE and (half == 0 or near < _NEARER * far)))


def hold_out_footage(footage: Footage, share: float, seed: int) -> tuple[Footage, Footage]:
    """Hold out films with :func:`.hold_out_films` and photos with :func:`.hold_out`.

    Returns:
        The training part and the held-out part.

    Raises:
        UsageError: If ``share`` is out of range.
    """
    photos, held_photos = hold_out(footage.photos, share, seed)
    films, held_films = hold_out_films(footage.films, share, seed)
    return Footage(films, photos), Footage(held_films, held_photos)


def _difference(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    thumbs = (
        cv2.resize(picture, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).astype(np.float32)
        for picture in (left, right)
    )
    return float(np.abs(np.subtract(*thumbs)).mean() / 255)
