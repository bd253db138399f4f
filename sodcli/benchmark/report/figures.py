"""Precision-recall and F-measure curves as a figure for a paper."""

from io import BytesIO
from typing import Final

import numpy as np

from sodcli.benchmark.results import Evaluation

_THRESHOLDS: Final = np.arange(255, -1, -1) / 255
_COLOURS: Final = (  # colour-blind-safe palette of Okabe and Ito 2008
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"),
)
_STYLES: Final = ("-", "--", ":", "-.")
_HEIGHT: Final = 2.9  # inches per set; a column of a two-column paper is about 3.3 wide
_WIDTH: Final = 6.6


def as_figure(found: Evaluation, kind: str) -> bytes:
    """Return a figure with a row per set: precision over recall, and F-measure over threshold.

    Args:
        found: Evaluation that includes the F-measure.
        kind: ``pdf``, ``svg`` or ``png``.
    """
    from matplotlib.figure import Figure

    sets = found.datasets
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(sets)), layout="constrained")
    axes = figure.subplots(len(sets), 2, squeeze=False)
    for (left, right), dataset in zip(axes, sets, strict=True):
        for at, row in enumerate(found.of(dataset)):
            if row.scores is None or row.scores.f is None:
                continue
            f = row.scores.f
            look = {"color": _COLOURS[at % len(_COLOURS)], "linestyle": _STYLES[at % len(_STYLES)]}
            left.plot(f.recall, f.precision, label=row.method.replace("$", r"\$"), **look)
            right.plot(_THRESHOLDS, f.curve, **look)
        left.set(title=dataset.replace("$", r"\$"), xlabel="Recall", ylabel="Precision")
        right.set(xlabel="Threshold", ylabel="F-measure")
        for axis in (left, right):
            axis.set(xlim=(0, 1), ylim=(0, 1))
            axis.grid(alpha=0.3)
        if left.lines:
            left.legend(loc="lower left", fontsize="small")
    file = BytesIO()
    # Omit the date, so that equal scores give identical files.
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.savefig(file, format=kind, dpi=200, metadata=dates.get(kind))
    return file.getvalue()
