"""Compare one saliency map with its ground truth."""

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from sodcli.errors import UsageError
from sodcli.metrics import ALL, USUAL
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
from sodcli.metrics.scores import ImageScores
from sodcli.metrics.weighted import weighted_f


def measure(
    pred: NDArray[Any],
    gt: NDArray[Any],
    *,
    which: frozenset[str] | set[str] = USUAL,
    plain: frozenset[str] = frozenset(),
) -> ImageScores:
    """Score one saliency map.

    The values equal those of pysodmetrics 1.6.2 (for mBA, of CascadePSP). The map is min-max
    normalised for ``mae``, ``f``, ``wf``, ``s`` and ``e``. ``mae``, ``f``, ``e`` and ``s`` share
    one histogram; ``wf`` and ``mba`` are the slowest.

    Args:
        pred: ``(H, W)`` saliency map, uint8 or floating point in [0, 1]; the latter is rounded to
            256 grey levels.
        gt: ``(H, W)`` ground truth, uint8 (foreground where > 128) or bool.
        which: Names of the measures to compute, from ``ALL``.
        plain: Names of the measures to compute without min-max normalisation of the map.

    Raises:
        ValueError: If the sizes differ (the caller must resize), a picture is empty or not
            two-dimensional, or a dtype or value range is not supported.
        UsageError: If ``which`` is empty or contains a name that is not in ``ALL``.
    """
    check_names(which)
    both = make_comparison(pred, gt)
    stretched = joint_histogram(both)
    unstretched = replace(stretched, stretch=False)
    histograms = {name: unstretched if name in plain else stretched for name in ALL}
    cut_f = cuts(histograms["f"])
    cut_e = cut_f if histograms["e"] is histograms["f"] else cuts(histograms["e"])
    s, s_defined = s_measure(histograms["s"]) if "s" in which else (None, True)
    mba = boundary_accuracy(both) if "mba" in which else None
    halves = cut_at_half(stretched)
    undefined = {
        "s": not s_defined,
        "mba": "mba" in which and mba is None,
        "ber": "ber" in which and halves.ber is None,
    }
    return ImageScores(
        which=frozenset(which),
        mae=mae(histograms["mae"]) if "mae" in which else None,
        f=f_measure(cut_f) if "f" in which else None,
        wf=weighted_f(both, histograms["wf"]) if "wf" in which else None,
        s=s,
        e=e_measure(cut_e) if "e" in which else None,
        mba=mba,
        iou=halves.iou if "iou" in which else None,
        dice=halves.dice if "dice" in which else None,
        ber=halves.ber if "ber" in which else None,
        undefined=frozenset(name for name, is_undefined in undefined.items() if is_undefined),
    )


def check_names(which: frozenset[str] | set[str]) -> None:
    """Check names of measures.

    Raises:
        UsageError: If ``which`` is empty or contains a name that is not in ``ALL``.
    """
    if not which:
        raise UsageError(f"no measure is named. Known: {', '.join(sorted(ALL))}")
    if unknown := which - ALL:
        raise UsageError(f"no measure named {min(unknown)!r}. Known: {', '.join(sorted(ALL))}")
