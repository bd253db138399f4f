"""Which frames of a sparsely annotated film count: RCRNet's rules (ICCV 2019, arXiv 1908.04051)."""

from collections.abc import Sequence
from itertools import pairwise


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
