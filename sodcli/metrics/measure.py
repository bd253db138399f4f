"""Compare one saliency map with its ground truth."""

from typing import Any, Final

from numpy.typing import NDArray

from sodcli.errors import UsageError
from sodcli.metrics.boundary import boundary_accuracy
from sodcli.metrics.pair import pair
from sodcli.metrics.region import cuts, e_measure, f_measure, mae
from sodcli.metrics.scores import ImageScores
from sodcli.metrics.smeasure import s_measure
from sodcli.metrics.tally import tally
from sodcli.metrics.weighted import weighted_f

ALL: Final = frozenset({"mae", "f", "wf", "s", "e", "mba"})
"""Names of the measures."""


def measure(
    pred: NDArray[Any], gt: NDArray[Any], *, which: frozenset[str] | set[str] = ALL
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

    Raises:
        ValueError: If the sizes differ (resizing is the caller's choice), or a type or range is
            another one.
        UsageError: If a name is not in ``ALL``.
    """
    if unknown := which - ALL:
        raise UsageError(f"no measure named {min(unknown)!r}. Known: {', '.join(sorted(ALL))}")
    both = pair(pred, gt)
    counts = tally(both)
    thresholds = cuts(counts)
    s, s_defined = s_measure(counts) if "s" in which else (None, True)
    mba = boundary_accuracy(both) if "mba" in which else None
    undefined = {"s": not s_defined, "mba": "mba" in which and mba is None}
    return ImageScores(
        which=frozenset(which),
        mae=mae(counts) if "mae" in which else None,
        f=f_measure(thresholds) if "f" in which else None,
        wf=weighted_f(both, counts) if "wf" in which else None,
        s=s,
        e=e_measure(thresholds) if "e" in which else None,
        mba=mba,
        undefined=frozenset(name for name, is_undefined in undefined.items() if is_undefined),
    )
