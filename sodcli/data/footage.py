"""Tell folders of a film's frames from folders of photos."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.data.clips import Clip, Cut, by_folder, clips_of
from sodcli.data.pairs import Pair, hold_out, hold_out_films
from sodcli.data.read import read_image
from sodcli.errors import SourceError

_LOOKS: Final = 10  # neighbours that are compared, spread over the folder
_THUMB: Final = 16
_NEARER: Final = 0.6  # the same against that of pictures far apart: of photos about 1
_SAME: Final = 0.04  # so little only neighbours differ
_ALIKE: Final = 0.12  # mean difference of two thumbnails: frames of DAVIS 0.01-0.07, photos 0.2-0.3


@dataclass(frozen=True, slots=True)
class Footage:
    """Pairs to make clips of.

    Attributes:
        films: The frames of each film, in their order.
        photos: Pairs that belong to no film.
    """

    films: tuple[tuple[Pair, ...], ...]
    photos: tuple[Pair, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs, films first."""
        return (*(pair for film in self.films for pair in film), *self.photos)

    def only(self, pairs: Collection[Pair]) -> "Footage":
        """Return what of it is among ``pairs``."""
        kept = set(pairs)
        films = (tuple(pair for pair in film if pair in kept) for film in self.films)
        photos = tuple(pair for pair in self.photos if pair in kept)
        return Footage(tuple(film for film in films if film), photos)

    def sparse(self, interval: int) -> "Footage":
        """Return what is left if one annotation of ``interval`` is kept of each film."""
        return Footage(tuple(film[::interval] for film in self.films), self.photos)

    def clips(self, length: int, gaps: Sequence[int], cut: Cut | None = None) -> tuple[Clip, ...]:
        """Return every clip: see :func:`sodcli.data.clips.clips_of`."""
        return clips_of(self.photos, self.films, length, gaps, cut)


def find_footage(pairs: Sequence[Pair]) -> Footage:
    """Tell the films among ``pairs`` from the photos.

    The pictures of a folder are a film if they are of one size and neighbours look alike: more than
    pictures far apart do, which tells films from photos taken before one background.
    """
    groups = [(group, is_film(group)) for group in by_folder(pairs)]
    photos = (pair for group, film in groups if not film for pair in group)
    return Footage(tuple(group for group, film in groups if film), tuple(photos))


def is_film(pairs: Sequence[Pair]) -> bool:
    """Say whether the pictures of ``pairs``, in their order, are frames of one film."""
    if len(pairs) < 2:
        return False
    places = np.unique(np.linspace(0, len(pairs) - 2, _LOOKS).astype(int))
    try:
        looks = [[read_image(pairs[at].image) for at in (place, place + 1)] for place in places]
    except SourceError:  # a damaged picture says nothing, but films are seldom damaged
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
    """Split the films by :func:`.split.hold_out_films`, the photos by :func:`.split.hold_out`.

    Returns:
        What to train on and what is held out.

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
