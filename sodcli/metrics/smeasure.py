"""Structure measure (Fan et al., ICCV 2017), from the moments of the joint histogram."""

from math import sqrt
from typing import Final

import numpy as np

from sodcli.metrics.region import EPS
from sodcli.metrics.tally import Counts, Tally

ALPHA: Final = 0.5


def s_measure(tally: Tally) -> tuple[float, bool]:
    """Return the S-measure with alpha 0.5, and whether its published formula is defined.

    The formula is 0/0 when the cut after the foreground's centroid leaves a quadrant empty; as
    such a quadrant has no area, it counts 0 here.
    """
    pixels, total, _ = tally.moments(tally.whole.sum(axis=0))
    mean = total / (pixels * tally.low_span[1])
    foreground = int(tally.whole[1].sum())
    if foreground == 0:
        return 1 - mean, True
    if foreground == pixels:
        return mean, True
    score = ALPHA * _object_score(tally) + (1 - ALPHA) * _region_score(tally)
    return max(0.0, score), bool(tally.counts.any(axis=(1, 2)).all())


def _object_score(tally: Tally) -> float:
    """Object-aware similarity, equations 4 and 5: even saliency, apart from the background's."""
    span = tally.low_span[1]
    score = 0.0
    for counts, wanted in zip(tally.whole, (0, 1), strict=True):
        n, s, ss = tally.moments(counts)
        mean = s / (n * span)
        hit = mean if wanted else 1 - mean
        deviation = sqrt((n * ss - s * s) / (n * (n - 1))) / span if n > 1 else 0.0
        score += n * 2 * hit / (hit**2 + 1 + deviation + EPS)
    return score / int(tally.whole.sum())


def _region_score(tally: Tally) -> float:
    """Region-aware similarity, equations 1 to 3: structural similarity weighted by area."""
    sizes = tally.counts.sum(axis=(1, 2))
    scores = [
        _similarity(tally, counts) if size else 0.0
        for counts, size in zip(tally.counts, sizes, strict=True)
    ]
    return float(np.dot(sizes, scores) / sizes.sum())


def _similarity(tally: Tally, quadrant: Counts) -> float:
    """Structural similarity of map and ground truth in one quadrant, ``(2, 256)`` counts.

    The moments are whole numbers, so a flat map has a variance of exactly 0.
    """
    span = tally.low_span[1]
    n, s, ss = tally.moments(quadrant.sum(axis=0))
    foreground, hit, _ = tally.moments(quadrant[1])
    degrees = n * (n - 1 + EPS)
    x, y = s / (n * span), foreground / n
    variances = (n * ss - s * s) / (degrees * span**2) + foreground * (n - foreground) / degrees
    covariance = (n * hit - s * foreground) / (degrees * span)
    shared, spread = 4 * x * y * covariance, (x**2 + y**2) * variances
    if shared == 0:
        return 1.0 if spread == 0 else 0.0
    return shared / (spread + EPS)
