"""A held-out share of the pairs, for validation."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from sodcli.data.pairs import Pair
from sodcli.errors import UsageError

Film = TypeVar("Film")
_RUN = 16  # neighbours kept together; a few runs of this length still cover a set's kinds


def hold_out(
    pairs: Sequence[Pair], share: float, seed: int
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Split the pairs into those to train on and those held out.

    Every set (folder of pictures) gives about ``share`` of its pairs, and at least one if it has
    two. Near-twins are neighbours in natural order, so what is held out are runs of neighbours.
    A set's split depends on the seed and its own pairs alone: adding sets moves no other pair.

    Args:
        pairs: In the order of ``find_pairs``.
        share: In [0, 1); 0 holds nothing out.
        seed: Not negative.

    Returns:
        The pairs to train on and the pairs held out, both in the given order.

    Raises:
        UsageError: If ``share`` is out of range.
    """
    if not 0 <= share < 1:
        raise UsageError(f"the share to hold out is {share}; give one from 0 to below 1")
    sets: dict[object, list[int]] = {}
    for index, pair in enumerate(pairs):
        sets.setdefault(pair.image.parent, []).append(index)
    held = {members[i] for members in sets.values() for i in _held(len(members), share, seed)}
    train = tuple(pair for index, pair in enumerate(pairs) if index not in held)
    return train, tuple(pairs[index] for index in sorted(held))


def hold_out_films(
    films: Sequence[Film], share: float, seed: int
) -> tuple[tuple[Film, ...], tuple[Film, ...]]:
    """Split films into those to train on and about ``share`` of them, each as a whole.

    Where there are two, at least one is held out; a share of 0 holds nothing out. Both keep the
    given order.
    """
    count = min(max(1, round(len(films) * share)), len(films) - 1) if share and films else 0
    held = set(np.random.default_rng(seed).permutation(len(films))[:count].tolist())
    train = tuple(film for place, film in enumerate(films) if place not in held)
    return train, tuple(film for place, film in enumerate(films) if place in held)


def _held(count: int, share: float, seed: int) -> list[int]:
    """Return which of ``count`` neighbours are held out."""
    wanted = min(max(1, round(count * share)), count - 1)
    if share == 0 or wanted == 0:
        return []
    length = min(_RUN, wanted, count // 2)
    runs = np.array_split(np.arange(count), count // length)
    number = min(round(wanted / length), len(runs) - 1)
    picked = np.random.default_rng(seed).permutation(len(runs))[:number]
    return [int(index) for run in picked for index in runs[run]]
