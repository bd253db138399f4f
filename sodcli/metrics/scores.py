"""Scores of one image, and their means over a set of images."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CurveScores:
    """A measure of binarised maps, at every threshold and at the adaptive one.

    Attributes:
        adaptive: Value at twice the map's mean saliency (at most 1).
        curve: ``(256,)`` values at the thresholds 255, 254, ... 0 of 255.
    """

    adaptive: float
    curve: Curve

    @property
    def max(self) -> float:
        """Maximum of the curve; for a set of images, of the mean curve."""
        return float(self.curve.max())

    @property
    def mean(self) -> float:
        """Mean of the curve."""
        return float(self.curve.mean())


@dataclass(frozen=True, slots=True, eq=False)
class FScores(CurveScores):
    """F-measure with its precision and recall.

    Attributes:
        precision: ``(256,)`` at the same thresholds as ``curve``; 0 where nothing is salient.
        recall: ``(256,)``; 0 where nothing is foreground.
    """

    precision: Curve
    recall: Curve


def _named(letter: str, scores: CurveScores | None) -> dict[str, float]:
    if scores is None:
        return {}
    values = (("max", scores.max), ("mean", scores.mean), ("adp", scores.adaptive))
    return {prefix + letter: value for prefix, value in values}


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The measures of an image, or their means over a set; None if not requested.

    Attributes:
        which: Names of the requested measures.
        mae: Mean absolute error, [0, 1].
        f: F-measure with beta squared 0.3.
        wf: Weighted F-measure with beta 1.
        s: Structure measure with alpha 0.5.
        e: Enhanced-alignment measure; a perfect map of N pixels reaches N / (N - 1).
        mba: Mean boundary accuracy; None also when no ground truth has a boundary.
        iou: Intersection over union of the map binarised at one half.
        dice: Dice coefficient of the map binarised at one half.
        ber: Balanced error rate of the map binarised at one half, [0, 1]; None also when every
            ground truth is all black or all white.
    """

    which: frozenset[str]
    mae: float | None
    f: FScores | None
    wf: float | None
    s: float | None
    e: CurveScores | None
    mba: float | None
    iou: float | None
    dice: float | None
    ber: float | None

    def as_dict(self) -> dict[str, float]:
        """Return the available values under the field's usual names, in the usual order."""
        named = {
            "MAE": self.mae,
            **_named("F", self.f),
            "wF": self.wf,
            "S": self.s,
            **_named("E", self.e),
            "mBA": self.mba,
            "IoU": self.iou,
            "Dice": self.dice,
            "BER": self.ber,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class ImageScores(Scores):
    """The measures of one image.

    Attributes:
        undefined: Names of the measures whose published formula is 0/0 on this image: ``s`` if a
            quadrant around the foreground's centroid is empty (the quadrant contributes 0);
            ``mba`` if the ground truth has no boundary and ``ber`` if it is all black or all
            white (both are None and excluded from means).
    """

    undefined: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class DatasetScores(Scores):
    """Mean measures of a set of images; curves are averaged over the images.

    Attributes:
        images: Number of images.
        undefined: For each measure, the number of images on which its published formula is 0/0.
    """

    images: int
    undefined: Mapping[str, int]


def summarise(scores: Iterable[ImageScores]) -> DatasetScores:
    """Average the scores of a set of images.

    Sums are exact and rounded once, so the result does not depend on the order of the images or
    the number of workers. Curves are averaged point by point; their maximum and mean are those of
    the mean curve.

    Args:
        scores: One entry per image, all with the same measures.

    Raises:
        ValueError: If there is no image, or the images have different measures.
    """
    images = list(scores)
    return _averaged(
        images,
        images=len(images),
        undefined=Counter(name for image in images for name in sorted(image.undefined)),
    )


def summarise_clips(clips: Iterable[DatasetScores]) -> DatasetScores:
    """Average the means of clips with equal weight, whatever their number of frames.

    The maximum of a curve is that of the curve averaged over the clips.

    Args:
        clips: From ``summarise``, one per clip.

    Raises:
        ValueError: As ``summarise``.
    """
    means = list(clips)
    undefined: Counter[str] = sum((Counter(clip.undefined) for clip in means), Counter())
    return _averaged(means, images=sum(clip.images for clip in means), undefined=undefined)


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
        iou=_mean([part.iou for part in parts]),
        dice=_mean([part.dice for part in parts]),
        ber=_mean([part.ber for part in parts]),
        images=images,
        undefined=undefined,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if there are none."""
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
