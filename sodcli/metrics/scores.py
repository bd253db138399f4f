"""What a comparison yields: the scores of one image, and of a set of images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CurveScores:
    """A measure of binary maps, at every threshold and at the adaptive one.

    Attributes:
        adaptive: Value at twice the map's mean saliency (at most 1).
        curve: ``(256,)`` values at the thresholds 255, 254, ... 0 of 255.
    """

    adaptive: float
    curve: Curve

    @property
    def max(self) -> float:
        """Best value of the curve. For a set of images: of the mean curve."""
        return float(self.curve.max())

    @property
    def mean(self) -> float:
        """Mean of the curve."""
        return float(self.curve.mean())


@dataclass(frozen=True, slots=True, eq=False)
class FScores(CurveScores):
    """F-measure, with what it is made of.

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
    """The measures of an image, or their means over a set. What was not asked for is None.

    Attributes:
        which: Names of the measures that were asked for.
        mae: Mean absolute error, [0, 1].
        f: F-measure with beta squared 0.3.
        wf: Weighted F-measure with beta 1.
        s: Structure measure with alpha 0.5.
        e: Enhanced-alignment measure; a perfect map of N pixels reaches N / (N - 1).
        mba: Mean boundary accuracy; None also when no ground truth has a boundary.
    """

    which: frozenset[str]
    mae: float | None
    f: FScores | None
    wf: float | None
    s: float | None
    e: CurveScores | None
    mba: float | None

    def as_dict(self) -> dict[str, float]:
        """Return the values there are under the field's usual names, in the usual order."""
        named = {
            "MAE": self.mae,
            **_named("F", self.f),
            "wF": self.wf,
            "S": self.s,
            **_named("E", self.e),
            "mBA": self.mba,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class ImageScores(Scores):
    """The measures of one image.

    Attributes:
        undefined: Names of the measures whose published formula is 0/0 on this image: ``s`` where
            the centroid of the foreground leaves a quadrant empty (it counts 0 here), ``mba``
            where the ground truth has no boundary (None here, left out of the mean).
    """

    undefined: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class DatasetScores(Scores):
    """Mean measures of a set of images; the curves are means, image by image.

    Attributes:
        images: Number of images.
        undefined: For each measure, on how many images its published formula is 0/0.
    """

    images: int
    undefined: Mapping[str, int]
