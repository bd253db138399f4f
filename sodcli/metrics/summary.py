"""Means over a set of images, the same in whatever order the images come."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sodcli.metrics.measure import ALL, measure
from sodcli.metrics.scores import Curve, CurveScores, DatasetScores, FScores, ImageScores


def summarise(scores: Iterable[ImageScores]) -> DatasetScores:
    """Average the scores of a set of images.

    Sums are exact before they are rounded once, so neither the order of the images nor the
    number of workers changes a digit. Curves are averaged point by point; their maximum and mean
    are those of the mean curve.

    Args:
        scores: One entry per image, all with the same measures taken.

    Raises:
        ValueError: If there is no image, or the images were not measured alike.
    """
    images = list(scores)
    if not images:
        raise ValueError("there are no images to average over")
    which = images[0].which
    if any(image.which != which for image in images):
        raise ValueError("the images were not all scored with the same measures")
    return DatasetScores(
        which=which,
        mae=_mean([image.mae for image in images]),
        f=_mean_f([image.f for image in images if image.f]),
        wf=_mean([image.wf for image in images]),
        s=_mean([image.s for image in images]),
        e=_mean_e([image.e for image in images if image.e]),
        mba=_mean([image.mba for image in images]),
        images=len(images),
        undefined=Counter(name for image in images for name in sorted(image.undefined)),
    )


def score_pairs(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]],
    *,
    which: frozenset[str] | set[str] = ALL,
) -> DatasetScores:
    """Score pairs of saliency map and ground truth, as ``measure`` takes them, and average.

    Raises:
        ValueError: If there is no pair, or one of them does not fit.
        UsageError: If a name in ``which`` is not a measure's.
    """
    return summarise(measure(pred, gt, which=which) for pred, gt in pairs)


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values there are; None when there is none."""
    present = [value for value in values if value is not None]
    return fsum(present) / len(present) if present else None


def _mean_curve(curves: Sequence[Curve]) -> Curve:
    return np.array([fsum(column) / len(curves) for column in np.stack(curves).T])


def _mean_f(scores: Sequence[FScores]) -> FScores | None:
    if not scores:
        return None
    return FScores(
        adaptive=fsum(f.adaptive for f in scores) / len(scores),
        curve=_mean_curve([f.curve for f in scores]),
        precision=_mean_curve([f.precision for f in scores]),
        recall=_mean_curve([f.recall for f in scores]),
    )


def _mean_e(scores: Sequence[CurveScores]) -> CurveScores | None:
    if not scores:
        return None
    return CurveScores(
        adaptive=fsum(e.adaptive for e in scores) / len(scores),
        curve=_mean_curve([e.curve for e in scores]),
    )
