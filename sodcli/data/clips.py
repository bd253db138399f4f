"""Clips to learn from: out of films, and of photos that stand still or are made to move."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sodcli.data.pairs import Pair
from sodcli.data.read import read_pair
from sodcli.errors import SourceError


def thinned(annotated: Sequence[int], interval: int) -> list[int]:
    """Return the places of the annotations that are kept: one of ``interval``."""
    return list(annotated[::interval])


def between(first: int, last: int, count: int) -> list[int]:
    """Return up to ``count`` places strictly between two, evenly apart.

    As published, ``first + j * step`` with ``step = (last - first) // (count + 1)``; where there
    are fewer places than asked for, all of them.
    """
    count = min(count, last - first - 1)
    step = (last - first) // (count + 1)
    return [first + step * nth for nth in range(1, count + 1)]


def filled(kept: Sequence[int], count: int) -> list[int]:
    """Return the kept places with up to ``count`` more in every gap."""
    inside = [
        place for first, last in pairwise(kept) for place in (first, *between(first, last, count))
    ]
    return [*inside, *kept[-1:]]


def windows(places: Sequence[int], length: int, *, training: bool) -> list[tuple[int, ...]]:
    """Cut the places of a film into clips of ``length``, as published.

    In training neighbouring clips share a place, and the last clip comes twice. A film that is too
    short goes on with its last place.

    Args:
        places: Those that count, at least one.
        length: Of a clip; at least 2 in training.
        training: Whether clips overlap by one; otherwise only the last may overlap.
    """
    padded = [*places, *[places[-1]] * (length - len(places))]
    hop = length - 1 if training else length
    starts = list(range(0, len(padded) - length + 1, hop))
    if starts[-1] + hop < len(padded):
        starts.append(len(padded) - length)
    return [tuple(padded[start : start + length]) for start in starts]


def overlapping_clips(count: int, length: int, step: int) -> list[tuple[int, ...]]:
    """Cut a film into clips to learn from: :func:`windows`, but each of them once.

    Args:
        count: Frames of the film, at least 1.
        length: Frames of a clip, at least 2.
        step: Frames of the film from one frame of a clip to the next, at least 1.

    Returns:
        Clips, each of ``length`` places in ``range(count)``.
    """
    chains = (range(first, count, step) for first in range(min(step, count)))
    clips = (clip for chain in chains for clip in windows(chain, length, training=True))
    return list(dict.fromkeys(clips))


_NUMBER = re.compile(r"\d+$")

Cut = Callable[[int, int, int], list[tuple[int, ...]]]
"""Cuts a film of so many frames into clips of a length and a step, as places in the film."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What is learnt as one sample.

    Attributes:
        pairs: The frames of a film in their order, or a single photo.
    """

    pairs: tuple[Pair, ...]

    @property
    def image(self) -> Path:
        """The first picture's file, for messages."""
        return self.pairs[0].image

    @property
    def is_still(self) -> bool:
        """Whether it is a photo."""
        return len(self.pairs) == 1


def read_clip(clip: Clip) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.float32]]]:
    """Read the pictures and masks of a clip, all of one size.

    Raises:
        SourceError: If one cannot be read, or their sizes differ; it names the file.
    """
    read = [read_pair(pair) for pair in clip.pairs]
    for pair, (image, _) in zip(clip.pairs, read, strict=True):
        if image.shape != read[0][0].shape:
            raise SourceError(f"{pair.image}: is of another size than {clip.image}")
    return [image for image, _ in read], [mask for _, mask in read]


def clips_of(
    photos: Sequence[Pair],
    films: Sequence[Sequence[Pair]],
    length: int,
    gaps: Sequence[int],
    cut: Cut | None = None,
) -> tuple[Clip, ...]:
    """Return every clip of ``films`` at each of ``gaps``, then a clip of each photo.

    Args:
        photos: Pairs that belong to no film.
        films: The frames of each.
        length: Frames of a clip.
        gaps: In frames of the film, from one frame of a clip to the next. Where only every g-th
            frame has a mask, as the files' numbers say, g is the least.
        cut: How a film is cut; by default as :func:`disjoint_clips` does.
    """
    cut = cut or disjoint_clips
    clips: dict[Clip, None] = {}  # a film too short for a gap gives the clips of another once more
    for film in films:
        apart = frames_apart(film)
        for gap in gaps:
            for places in cut(len(film), length, max(1, int(gap // apart))):
                clips[Clip(tuple(film[place] for place in places))] = None
    return (*clips, *(Clip((photo,)) for photo in photos))


def by_folder(pairs: Sequence[Pair]) -> list[tuple[Pair, ...]]:
    """Group neighbouring pairs whose pictures lie in one folder."""
    return [tuple(group) for _, group in groupby(pairs, key=lambda pair: pair.image.parent)]


def extended(count: int, length: int) -> tuple[int, ...]:
    """Return ``length`` places of a film of ``count`` >= 1 frames, forth and back if it is short.

    As published: to the frames, those before the last one are appended in reverse, then again what
    there is, until it suffices.
    """
    places = list(range(count))
    while len(places) < length:
        places += places[-2::-1] or places
    return tuple(places[:length])


def disjoint_clips(count: int, length: int, step: int) -> list[tuple[int, ...]]:
    """Cut a film into clips as published (arXiv 2507.01182): no overlap but at the end.

    The film is cut into chunks of ``step * length`` neighbouring frames; a chunk gives ``step``
    clips, of every ``step``-th frame. A rest is covered by one more chunk, aligned to the end. A
    film of fewer frames than a chunk gets a smaller step, one of fewer than ``length`` a single
    clip that goes forth and back.

    Args:
        count: Frames of the film, at least 1.
        length: Frames of a clip.
        step: Frames of the film from one frame of a clip to the next, at least 1.

    Returns:
        Clips, each of ``length`` places in ``range(count)``.
    """
    if count < length:
        return [extended(count, length)]
    step = min(step, count // length)
    span = step * length
    starts = [*range(0, count - span + 1, span)]
    if count % span:
        starts.append(count - span)
    return [
        tuple(range(start + first, start + span, step)) for start in starts for first in range(step)
    ]


def held_clips(count: int, length: int, step: int) -> list[tuple[int, ...]]:
    """Do as :func:`disjoint_clips`, but let a film too short for a clip go on with its last frame.

    So RCRNet is tested (arXiv 1908.04051).
    """
    if count < length:
        return windows(range(count), length, training=False)
    return disjoint_clips(count, length, step)


def frames_apart(film: Sequence[Pair]) -> float:
    """Return how many frames of the film lie between two with a mask, by the files' numbers."""
    numbers = [_NUMBER.search(pair.image.stem) for pair in (film[0], film[-1])]
    if len(film) < 2 or None in numbers:
        return 1.0
    first, last = (int(found[0]) for found in numbers if found)
    return max(1.0, (last - first) / (len(film) - 1))


PAPER_CUTS: Mapping[str, Cut] = MappingProxyType({"mirror": disjoint_clips, "hold": held_clips})
"""How the papers test, by ``ModelSpec.short_film``."""
