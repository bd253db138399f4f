"""Compare one saliency map with its ground truth."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from numpy.typing import NDArray

from sodcli.errors import UsageError
from sodcli.metrics.comparison import joint_histogram, make_comparison
from sodcli.metrics.region import (
    boundary_accuracy,
    cut_at_half,
    cuts,
    e_measure,
    f_measure,
    mae,
    s_measure,
)
from sodcli.metrics.scores import DatasetScores, ImageScores, summarise
from sodcli.metrics.weighted import weighted_f

MEASURES: Final = {
    "mae": "mean absolute error (Perazzi et al., CVPR 2012)",
    "f": "F-measure with beta squared 0.3: max, mean, adaptive (Achanta et al., CVPR 2009)",
    "wf": "weighted F-measure (Margolin et al., CVPR 2014)",
    "s": "structure measure (Fan et al., ICCV 2017)",
    "e": "enhanced-alignment measure: max, mean, adaptive (Fan et al., IJCAI 2018)",
    "mba": "mean boundary accuracy (Cheng et al., CVPR 2020)",
    "iou": "intersection over union of the map cut at half (Jaccard, 1901)",
    "dice": "Dice coefficient of the map cut at half (Dice, 1945)",
    "ber": "balanced error rate of the map cut at half, 0 to 1 (Vicente et al., ECCV 2016)",
}
"""What each measure is and where it was published."""

ALL: Final = frozenset(MEASURES)
"""Names of all measures."""

USUAL: Final = frozenset({"mae", "f", "wf", "s", "e", "mba"})
"""Names of the measures that are taken by default."""


def measure(
    pred: NDArray[Any],
    gt: NDArray[Any],
    *,
    which: frozenset[str] | set[str] = USUAL,
    plain: frozenset[str] = frozenset(),
) -> ImageScores:
    """Score one saliency map.

    The values are those of pysodmetrics 1.6.2 (and, for mBA, of CascadePSP), so the map is
    min-max normalised for all measures but mBA. ``mae``, ``f`` and ``e`` together cost one
    histogram; ``s`` is nearly free beside them; ``wf`` and ``mba`` cost most.

    Args:
        pred: ``(H, W)`` saliency map, uint8 or floating point in [0, 1]; the latter is rounded to
            256 grey levels.
        gt: ``(H, W)`` ground truth, uint8 (foreground where > 128) or bool.
        which: Names of the measures to take, from ``ALL``.
        plain: Names of the measures to take from the map as it is, not min-max normalised.

    Raises:
        ValueError: If the sizes differ (resizing is the caller's choice), or a type or range is
            another one.
        UsageError: If a name is not in ``ALL``.
    """
    check_names(which)
    both = make_comparison(pred, gt)
    stretched = joint_histogram(both)
    unstretched = replace(stretched, stretch=False)
    counts = {name: unstretched if name in plain else stretched for name in ALL}
    cut_f = cuts(counts["f"])
    cut_e = cut_f if counts["e"] is counts["f"] else cuts(counts["e"])
    s, s_defined = s_measure(counts["s"]) if "s" in which else (None, True)
    mba = boundary_accuracy(both) if "mba" in which else None
    halves = cut_at_half(stretched) if which & {"iou", "dice", "ber"} else None
    undefined = {
        "s": not s_defined,
        "mba": "mba" in which and mba is None,
        "ber": halves is not None and "ber" in which and halves.ber is None,
    }
    return ImageScores(
        which=frozenset(which),
        mae=mae(counts["mae"]) if "mae" in which else None,
        f=f_measure(cut_f) if "f" in which else None,
        wf=weighted_f(both, counts["wf"]) if "wf" in which else None,
        s=s,
        e=e_measure(cut_e) if "e" in which else None,
        mba=mba,
        iou=halves.iou if halves and "iou" in which else None,
        dice=halves.dice if halves and "dice" in which else None,
        ber=halves.ber if halves and "ber" in which else None,
        undefined=frozenset(name for name, is_undefined in undefined.items() if is_undefined),
    )


def check_names(which: frozenset[str] | set[str]) -> None:
    """Refuse names of measures that there are not, and no name at all.

    Raises:
        UsageError: If there is no name, or one that is not in ``ALL``.
    """
    if not which:
        raise UsageError(f"no measure is named. Known: {', '.join(sorted(ALL))}")
    if unknown := which - ALL:
        raise UsageError(f"no measure named {min(unknown)!r}. Known: {', '.join(sorted(ALL))}")


def score_pairs(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]],
    *,
    which: frozenset[str] | set[str] = USUAL,
) -> DatasetScores:
    """Score pairs of saliency map and ground truth, as ``measure`` takes them, and average.

    Raises:
        ValueError: If there is no pair, or one of them does not fit.
        UsageError: If a name in ``which`` is not a measure's.
    """
    return summarise(measure(pred, gt, which=which) for pred, gt in pairs)
