"""All measures except the weighted F-measure."""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.metrics.comparison import FOREGROUND_ABOVE, Comparison, Counts, JointHistogram, around
from sodcli.metrics.scores import CurveScores, FScores

EPS: Final = float(np.spacing(1))
BETA_SQUARED: Final = 0.3
_ADAPTIVE: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Pixel counts of the map binarised at 257 thresholds: 255 ... 0 of 255, then adaptive.

    Attributes:
        hits: ``(257,)`` number of salient pixels on the foreground.
        salient: ``(257,)`` number of salient pixels.
        foreground: Number of foreground pixels of the ground truth.
        pixels: Number of pixels of the image.
    """

    hits: NDArray[np.float64]
    salient: NDArray[np.float64]
    foreground: int
    pixels: int


def cuts(histogram: JointHistogram) -> Cuts:
    """Binarise the map at every threshold, by cumulative sums of its histogram."""
    bins = (histogram.levels * 255).astype(np.uint8)
    above = _adaptive(histogram)
    hits, salient = (
        np.append(np.bincount(bins, counts, 256)[::-1].cumsum(), counts[above].sum())
        for counts in (histogram.whole[1], histogram.whole.sum(axis=0))
    )
    return Cuts(hits, salient, int(histogram.whole[1].sum()), int(histogram.whole.sum()))


def _adaptive(histogram: JointHistogram) -> NDArray[np.bool_]:
    """Return which grey levels reach the adaptive threshold min(2 mean, 1), in exact integers."""
    pixels, total, _ = histogram.moments(histogram.whole.sum(axis=0))
    return histogram.steps * pixels >= min(2 * total, histogram.low_span[1] * pixels)


def mae(histogram: JointHistogram) -> float:
    """Mean absolute error, [0, 1]."""
    background, foreground = histogram.whole
    span = histogram.low_span[1]
    count, hit, _ = histogram.moments(foreground)
    false = histogram.moments(background)[1]
    return (false + span * count - hit) / (span * int(histogram.whole.sum()))


@dataclass(frozen=True, slots=True)
class HalfScores:
    """Measures of the map binarised at one half, without min-max normalisation.

    Attributes:
        iou: Intersection over union; 1 if map and ground truth are both black.
        dice: Dice coefficient; 1 if both are black.
        ber: Mean of the error rates on foreground and background; None if either is empty.
    """

    iou: float
    dice: float
    ber: float | None


def cut_at_half(histogram: JointHistogram) -> HalfScores:
    """Compare the map, salient above 128 of 255, with the ground truth."""
    background, foreground = histogram.whole
    hits, false = (int(counts[FOREGROUND_ABOVE + 1 :].sum()) for counts in (foreground, background))
    positives, negatives = int(foreground.sum()), int(background.sum())
    union = positives + false
    ber = (1 - hits / positives + false / negatives) / 2 if positives and negatives else None
    return HalfScores(
        iou=hits / union if union else 1.0,
        dice=2 * hits / (positives + hits + false) if union else 1.0,
        ber=ber,
    )


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


ALPHA: Final = 0.5


def s_measure(histogram: JointHistogram) -> tuple[float, bool]:
    """Return the S-measure with alpha 0.5, and whether its published formula is defined.

    The formula is 0/0 if a quadrant around the foreground's centroid is empty; such a quadrant
    contributes 0 here.
    """
    pixels, total, _ = histogram.moments(histogram.whole.sum(axis=0))
    mean = total / (pixels * histogram.low_span[1])
    foreground = int(histogram.whole[1].sum())
    if foreground == 0:
        return 1 - mean, True
    if foreground == pixels:
        return mean, True
    score = ALPHA * _object_score(histogram) + (1 - ALPHA) * _region_score(histogram)
    return max(0.0, score), bool(histogram.counts.any(axis=(1, 2)).all())


def _object_score(histogram: JointHistogram) -> float:
    """Object-aware similarity of foreground and background, equations 4 and 5."""
    span = histogram.low_span[1]
    score = 0.0
    for counts, wanted in zip(histogram.whole, (0, 1), strict=True):
        n, s, ss = histogram.moments(counts)
        mean = s / (n * span)
        hit = mean if wanted else 1 - mean
        deviation = sqrt((n * ss - s * s) / (n * (n - 1))) / span if n > 1 else 0.0
        score += n * 2 * hit / (hit**2 + 1 + deviation + EPS)
    return score / int(histogram.whole.sum())


def _region_score(histogram: JointHistogram) -> float:
    """Region-aware similarity, equations 1 to 3: structural similarity weighted by area."""
    sizes = histogram.counts.sum(axis=(1, 2))
    scores = [
        _similarity(histogram, counts) if size else 0.0
        for counts, size in zip(histogram.counts, sizes, strict=True)
    ]
    return float(np.dot(sizes, scores) / sizes.sum())


def _similarity(histogram: JointHistogram, quadrant: Counts) -> float:
    """Structural similarity of map and ground truth in one quadrant, ``(2, 256)`` counts.

    The moments are integers, so a constant map has a variance of exactly 0.
    """
    span = histogram.low_span[1]
    n, s, ss = histogram.moments(quadrant.sum(axis=0))
    foreground, hit, _ = histogram.moments(quadrant[1])
    degrees = n * (n - 1 + EPS)
    x, y = s / (n * span), foreground / n
    variances = (n * ss - s * s) / (degrees * span**2) + foreground * (n - foreground) / degrees
    covariance = (n * hit - s * foreground) / (degrees * span)
    shared, spread = 4 * x * y * covariance, (x**2 + y**2) * variances
    if shared == 0:
        return 1.0 if spread == 0 else 0.0
    return shared / (spread + EPS)


_STEPS: Final = 5


def boundary_accuracy(comparison: Comparison) -> float | None:
    """Mean boundary accuracy of the map binarised at one half, without min-max normalisation.

    Mean over five bands of increasing width around the true boundary; None if the ground truth is
    all black or all white.
    """
    if comparison.mask.all() or not comparison.mask.any():
        return None
    radii = _radii(*comparison.mask.shape)
    near = around(comparison, max(radii))
    right = ((near.grey > FOREGROUND_ABOVE) == near.mask).view(np.uint8)
    accuracy = {radius: _accuracy(right, near.mask, radius) for radius in set(radii)}
    return sum(accuracy[radius] for radius in radii) / _STEPS


def _radii(height: int, width: int) -> list[int]:
    """Return the band radii in pixels, from 1 to about 1/300 of ``height + width``."""
    growth = ((width + height) / 300 - 1) / _STEPS
    return [1 + int(growth * step) for step in range(_STEPS)]


def _accuracy(right: NDArray[np.uint8], mask: NDArray[np.uint8], radius: int) -> float:
    """Return the share of correct pixels in the band within ``radius`` of the boundary."""
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    band = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, element)
    return cv2.countNonZero(cv2.bitwise_and(band, right)) / cv2.countNonZero(band)
