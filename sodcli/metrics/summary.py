"""Means over a set of images, the same in whatever order the images come."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sodcli.metrics.measure import ALL, measure
from sodcli.metrics.scores import Curve, CurveScores, DatasetScores, FScores, ImageScores, Scores


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
    return _averaged(
        images,
        images=len(images),
        undefined=Counter(name for image in images for name in sorted(image.undefined)),
    )


def summarise_clips(clips: Iterable[DatasetScores]) -> DatasetScores:
    """Average the means of clips, so that each weighs the same however many frames it has.

    The maximum of a curve is that of the curve averaged over clips.

    Args:
        clips: From ``summarise``, one per clip.

    Raises:
        ValueError: As ``summarise``.
    """
    means = list(clips)
    undefined: Counter[str] = sum((Counter(clip.undefined) for clip in means), Counter())
    return _averaged(means, images=sum(clip.images for clip in means), undefined=undefined)


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


def _averaged(parts: Sequence[Scores], *, images: int, undefined: Counter[str]) -> DatasetScores:
    if not parts:
        raise ValueError("there are no images to average over")
    which = parts[0].which
    if any(part.which != which for part in parts):
        raise ValueError("the images were not all scored with the same measures")
    return DatasetScores(
        which=which,
        mae=_mean([part.mae for part in parts]),
        f=_mean_f([part.f for part in parts if part.f]),
        wf=_mean([part.wf for part in parts]),
        s=_mean([part.s for part in parts]),
        e=_mean_e([part.e for part in parts if part.e]),
        mba=_mean([part.mba for part in parts]),
        images=images,
        undefined=undefined,
    )


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
