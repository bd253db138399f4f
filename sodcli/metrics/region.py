"""MAE, F-measure and E-measure, all three read off the joint histogram."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sodcli.metrics.scores import CurveScores, FScores
from sodcli.metrics.tally import Tally

EPS: Final = float(np.spacing(1))
BETA_SQUARED: Final = 0.3
_ADAPTIVE: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """What is salient when the map is cut, at 257 thresholds: 255 ... 0 of 255, then adaptive.

    Attributes:
        hits: ``(257,)`` salient pixels on the foreground.
        salient: ``(257,)`` salient pixels.
        foreground: Foreground pixels of the ground truth.
        pixels: Pixels of the image.
    """

    hits: NDArray[np.float64]
    salient: NDArray[np.float64]
    foreground: int
    pixels: int


def cuts(tally: Tally) -> Cuts:
    """Cut the map at every threshold at once, by cumulating its histogram."""
    bins = (tally.levels * 255).astype(np.uint8)
    above = _adaptive(tally)
    hits, salient = (
        np.append(np.bincount(bins, counts, 256)[::-1].cumsum(), counts[above].sum())
        for counts in (tally.whole[1], tally.whole.sum(axis=0))
    )
    return Cuts(hits, salient, int(tally.whole[1].sum()), int(tally.whole.sum()))


def _adaptive(tally: Tally) -> NDArray[np.bool_]:
    """Tell which grey levels reach the adaptive threshold, min(2 mean, 1); in whole numbers."""
    pixels, total, _ = tally.moments(tally.whole.sum(axis=0))
    return tally.steps * pixels >= min(2 * total, tally.low_span[1] * pixels)


def mae(tally: Tally) -> float:
    """Mean absolute error of the min-max normalised map, [0, 1]."""
    background, foreground = tally.whole
    span = tally.low_span[1]
    count, hit, _ = tally.moments(foreground)
    false = tally.moments(background)[1]
    return (false + span * count - hit) / (span * int(tally.whole.sum()))


def f_measure(cuts: Cuts) -> FScores:
    """F-measure with beta squared 0.3 (Achanta et al., CVPR 2009)."""
    precision = cuts.hits / np.maximum(cuts.salient, 1)
    recall = cuts.hits / max(cuts.foreground, 1)
    weighted = BETA_SQUARED * precision + recall
    curve = (1 + BETA_SQUARED) * precision * recall / np.where(weighted == 0, 1, weighted)
    return FScores(
        adaptive=float(curve[_ADAPTIVE]),
        curve=curve[:_ADAPTIVE],
        precision=precision[:_ADAPTIVE],
        recall=recall[:_ADAPTIVE],
    )


def e_measure(cuts: Cuts) -> CurveScores:
    """Enhanced-alignment measure (Fan et al., IJCAI 2018, equations 2 to 5).

    Divides by N - 1 pixels, as the authors' code does, so that a perfect map exceeds 1.
    """
    if cuts.foreground == 0:
        aligned = cuts.pixels - cuts.salient
    elif cuts.foreground == cuts.pixels:
        aligned = cuts.salient
    else:
        aligned = _aligned(cuts)
    curve = aligned / (cuts.pixels - 1 + EPS)
    return CurveScores(adaptive=float(curve[_ADAPTIVE]), curve=curve[:_ADAPTIVE])


def _aligned(cuts: Cuts) -> NDArray[np.float64]:
    """Sum the enhanced alignment over the pixels: it has one value per cell of the 2x2 table."""
    salient, truth = cuts.salient / cuts.pixels, cuts.foreground / cuts.pixels
    misses, false = cuts.foreground - cuts.hits, cuts.salient - cuts.hits
    rest = cuts.pixels - cuts.salient - misses
    return sum(
        (
            count * (2 * p * g / (p**2 + g**2 + EPS) + 1) ** 2 / 4
            for count, p, g in (
                (cuts.hits, 1 - salient, 1 - truth),
                (false, 1 - salient, -truth),
                (misses, -salient, 1 - truth),
                (rest, -salient, -truth),
            )
        ),
        start=np.zeros_like(salient),
    )
