"""Bootstrap confidence intervals for score differences between two methods."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sodcli.benchmark.results import Evaluation, ResultRow, values
from sodcli.metrics.scores import ImageScores

SHARE: Final = 0.95
"""Confidence level of the intervals."""

_DRAWS: Final = 2000
_AT_ONCE: Final = 250
_FEWEST: Final = 10  # with fewer images or films an interval is not meaningful
_SEED: Final = 0

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """Score difference of two methods on a set, with its confidence interval.

    Attributes:
        dataset: Name of the set.
        method: The first method of the set.
        other: The method it is compared with.
        score: Name of the score.
        value: Score of ``method`` minus score of ``other``, on the images that both have.
        low: Lower end of the interval.
        high: Upper end. The difference is significant if the interval does not contain 0.
        samples: Number of images, or films, that are resampled.
    """

    dataset: str
    method: str
    other: str
    score: str
    value: float
    low: float
    high: float
    samples: int


def differences(found: Evaluation) -> list[Difference]:
    """Compare the first method of each set with each of the others.

    The images of a set, or the films of a film set, are drawn with replacement, the same ones for
    both methods (paired bootstrap, Efron and Tibshirani 1993). Maxima and means of curves are those
    of the resampled set's mean curve, as in the table. Sets of fewer than ten images or films are
    left out. The draws are seeded, so equal scores give equal intervals.
    """
    return [
        difference
        for dataset in found.datasets
        for first, *others in [found.of(dataset)]
        for other in others
        for difference in _compared(first, other)
    ]


def _compared(first: ResultRow, other: ResultRow) -> Iterator[Difference]:
    pairs = [
        (a.clip if first.film else a.name, a.scores, b.scores)
        for a, b in zip(first.images, other.images, strict=True)
        if a.scores is not None and b.scores is not None
    ]
    units: dict[str, list[int]] = {}
    for at, (unit, _, _) in enumerate(pairs):
        units.setdefault(unit, []).append(at)
    if len(units) < _FEWEST:
        return
    by_unit = bool(first.film and first.film.by_clip)
    members = [np.array(indices) for indices in units.values()]
    left = _tables([scores for _, scores, _ in pairs])
    right = _tables([scores for _, _, scores in pairs])
    draws = _draws(len(members))
    for name in [name for name in values(first) if name in left and name in right]:
        gaps = _statistic(left[name], members, draws, name, by_unit=by_unit)
        gaps -= _statistic(right[name], members, draws, name, by_unit=by_unit)
        low, high = np.quantile(gaps[1:], ((1 - SHARE) / 2, (1 + SHARE) / 2))
        yield Difference(
            dataset=first.dataset,
            method=first.method,
            other=other.method,
            score=name,
            value=float(gaps[0]),
            low=float(low),
            high=float(high),
            samples=len(members),
        )


def _draws(count: int) -> Values:
    """Return how often each unit is drawn, ``(1 + draws, count)``; the first row is all ones."""
    drawn = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), _DRAWS)
    return np.vstack([np.ones(count), drawn]).astype(np.float64)


def _tables(images: Sequence[ImageScores]) -> dict[str, Values]:
    """Return the values of each score that any image has, ``(N, 1)``, NaN where undefined.

    For maxima and means of curves the values are the curves, ``(N, 256)``.
    """
    scores = [image.as_dict() for image in images]
    tables = {
        name: np.array([[one.get(name, np.nan)] for one in scores], np.float64)
        for name in {name for one in scores for name in one}
    }
    for letter, curves in (
        ("F", [image.f.curve for image in images if image.f]),
        ("E", [image.e.curve for image in images if image.e]),
    ):
        if curves:
            tables |= dict.fromkeys((f"max{letter}", f"mean{letter}"), np.stack(curves))
    return tables


def _statistic(
    table: Values, members: Sequence[NDArray[np.int64]], draws: Values, name: str, *, by_unit: bool
) -> Values:
    """Return the score of each draw, ``(draws,)``.

    Args:
        table: ``(N, 1)`` or ``(N, 256)``; NaN where an image has no value.
        members: Images of each unit.
        draws: ``(draws, units)``.
        name: Name of the score.
        by_unit: Whether each unit has the same weight, instead of each image.
    """
    known = ~np.isnan(table)
    sums = np.stack([np.where(known[at], table[at], 0).sum(axis=0) for at in members])
    counts = np.stack([known[at].sum(axis=0) for at in members]).astype(np.float64)
    if by_unit:
        sums, counts = sums / np.maximum(counts, 1), (counts > 0).astype(np.float64)
    means = [
        (part @ sums) / np.maximum(part @ counts, 1)
        for part in np.array_split(draws, -(-len(draws) // _AT_ONCE))
    ]
    curves: Values = np.concatenate(means)
    score: Values = curves.max(axis=1) if name.startswith("max") else curves.mean(axis=1)
    return score
