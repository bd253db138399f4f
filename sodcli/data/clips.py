"""Training clips, cut from films or made of single photos."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sodcli.data.masks import read_pair
from sodcli.data.pairs import Pair
from sodcli.errors import SourceError


def between(first: int, last: int, count: int) -> list[int]:
    """Return up to ``count`` evenly spaced frame indices strictly between two.

    As published: ``first + j * step`` with ``step = (last - first) // (count + 1)``. If fewer than
    ``count`` frames lie in between, all of them are returned.
    """
    count = min(count, last - first - 1)
    step = (last - first) // (count + 1)
    return [first + step * nth for nth in range(1, count + 1)]


def windows(places: Sequence[int], length: int, *, training: bool) -> list[tuple[int, ...]]:
    """Cut frame indices of a film into clips of ``length``, as published.

    In training, neighbouring clips share one frame, and the last clip is repeated. A film that is
    too short is padded with its last frame.

    Args:
        places: Frame indices, at least one.
        length: Frames of a clip; at least 2 in training.
        training: Whether clips overlap by one frame; otherwise only the last may overlap.
    """
    padded = [*places, *[places[-1]] * (length - len(places))]
    hop = length - 1 if training else length
    starts = list(range(0, len(padded) - length + 1, hop))
    if starts[-1] + hop < len(padded):
        starts.append(len(padded) - length)
    return [tuple(padded[start : start + length]) for start in starts]


def overlapping_clips(count: int, length: int, step: int) -> list[tuple[int, ...]]:
    """Cut a film into the training clips of :func:`windows`, without duplicates.

    Args:
        count: Frames of the film, at least 1.
        length: Frames of a clip, at least 2.
        step: Distance in the film between neighbouring frames of a clip, at least 1.

    Returns:
        Clips, each of ``length`` indices in ``range(count)``.
    """
    chains = (range(first, count, step) for first in range(min(step, count)))
    clips = (clip for chain in chains for clip in windows(chain, length, training=True))
    return list(dict.fromkeys(clips))


_NUMBER = re.compile(r"\d+$")

Cut = Callable[[int, int, int], list[tuple[int, ...]]]
"""Cuts a film of N frames into clips of a length and a step; returns frame indices."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One training sample.

    Attributes:
        pairs: Neighbouring frames of a film in order, or a single photo.
    """

    pairs: tuple[Pair, ...]

    @property
    def image(self) -> Path:
        """File of the first picture, for messages."""
        return self.pairs[0].image

    @property
    def is_still(self) -> bool:
        """Whether this is a single photo."""
        return len(self.pairs) == 1


def read_clip(
    clip: Clip, *, fit: bool = False
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.float32]]]:
    """Read the pictures and masks of a clip, all of the same size.

    Args:
        clip: The pairs.
        fit: Resize masks of another size than their picture.

    Raises:
        SourceError: If one cannot be read, or the sizes differ; the message names the file.
    """
    read = [read_pair(pair, fit=fit) for pair in clip.pairs]
    for pair, (image, _) in zip(clip.pairs, read, strict=True):
        if image.shape != read[0][0].shape:
            raise SourceError(f"{pair.image}: is of another size than {clip.image}")
    return [image for image, _ in read], [mask for _, mask in read]


def by_folder(pairs: Sequence[Pair]) -> list[tuple[Pair, ...]]:
    """Group neighbouring pairs by the folder of their pictures; a repeated pair counts once."""
    unique = dict.fromkeys(pairs)
    return [tuple(group) for _, group in groupby(unique, key=lambda pair: pair.image.parent)]


def extended(count: int, length: int) -> tuple[int, ...]:
    """Return ``length`` frame indices of a film of ``count`` >= 1 frames, mirrored if it is short.

    As published: the frames before the last one are appended in reverse order, repeatedly, until
    there are enough.
    """
    places = list(range(count))
    while len(places) < length:
        places += places[-2::-1] or places
    return tuple(places[:length])


def disjoint_clips(count: int, length: int, step: int) -> list[tuple[int, ...]]:
    """Cut a film into clips as published (arXiv 2507.01182), without overlap except at the end.

    The film is cut into chunks of ``step * length`` neighbouring frames; each gives ``step`` clips
    of every ``step``-th frame. A remainder is covered by one more chunk at the end of the film.
    A film shorter than a chunk uses a smaller step; one shorter than ``length`` gives a single,
    mirrored clip (:func:`extended`).

    Args:
        count: Frames of the film, at least 1.
        length: Frames of a clip.
        step: Distance in the film between neighbouring frames of a clip, at least 1.

    Returns:
        Clips, each of ``length`` indices in ``range(count)``.
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
    """Cut like :func:`disjoint_clips`, but extend a short film with its last frame.

    This is the test protocol of RCRNet (arXiv 1908.04051).
    """
    if count < length:
        return windows(range(count), length, training=False)
    return disjoint_clips(count, length, step)


def frames_apart(film: Sequence[Pair]) -> float:
    """Return the mean distance between frames with a mask, by the numbers in the file names."""
    numbers = [_NUMBER.search(pair.image.stem) for pair in (film[0], film[-1])]
    if len(film) < 2 or None in numbers:
        return 1.0
    first, last = (int(found[0]) for found in numbers if found)
    return max(1.0, (last - first) / (len(film) - 1))


PAPER_CUTS: Mapping[str, Cut] = MappingProxyType({"mirror": disjoint_clips, "hold": held_clips})
"""Test protocols of the papers, by ``ModelSpec.short_film``."""
