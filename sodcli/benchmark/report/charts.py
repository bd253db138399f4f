"""Charts as SVG for pages, whose style sheet holds :data:`LOOKS`, and figures for papers."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sodcli.benchmark.results import Evaluation
from sodcli.text import display_name

LOOKS: Final[tuple[tuple[str, str, tuple[int, ...]], ...]] = (
    ("#0072b2", "#56b4e9", ()),
    ("#d55e00", "#ff9147", (7, 3)),
    ("#009e73", "#2fd0a0", (2, 3)),
    ("#b3478f", "#e58fc6", (9, 3, 2, 3)),
    ("#8a6d00", "#f0e442", ()),
    ("#2f8fc4", "#8fd3ff", (7, 3)),
    ("#5b3fa0", "#b69cff", (2, 3)),
    ("#6b6b6b", "#bdbdbd", (9, 3, 2, 3)),
)
"""Colour on white, colour on black and dashes in pixels of each series; more series repeat them.

After the colour-blind-safe palette of Okabe and Ito, 2008.
"""

_WIDTH, _HEIGHT = 400, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 8, 10, 40
TICKS: Final = 5
"""Parts that an axis is divided into, unless it has its own number."""

THRESHOLDS: Final = np.arange(255, -1, -1) / 255
"""Thresholds of the curves, ``(256,)``."""

_DASH_WIDTH: Final = 2  # pixels of the lines that the dashes are made for
_FIGURE_HEIGHT: Final = 2.9  # inches per set; a column of a two-column paper is about 3.3 wide
_FIGURE_WIDTH: Final = 6.6

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """Title, upper end and number of parts of an axis that starts at 0."""

    title: str
    end: float = 1.0
    ticks: int = TICKS


def line_chart(x: Axis, y: Axis, series: Sequence[tuple[str, Values, Values]]) -> str:
    """Draw curves.

    Args:
        x: Horizontal axis.
        y: Vertical axis.
        series: For each curve its name, ``(N,)`` x values and ``(N,)`` y values.
    """
    lines = []
    for number, (name, across, up) in enumerate(series):
        spots = [
            f"{_at_x(u / x.end):.1f},{_at_y(v / y.end):.1f}"
            for u, v in zip(across, up, strict=True)
        ]
        single = len(spots) == 1  # a line to itself is a dot
        points = " ".join(spots * 2 if single else spots)
        wide = ' style="stroke-width: 7"' if single else ""
        title = f"<title>{escape(name)}</title>"
        lines.append(
            f'<polyline class="line {colour(number)}"{wide} points="{points}">{title}</polyline>'
        )
    return _chart(x, y, lines)


def histogram(title: str, series: Sequence[tuple[str, Values]], *, bins: int = 16) -> str:
    """Draw a histogram of non-negative values: the share of images in each bin.

    Args:
        title: Title of the value axis.
        series: For each group of bars its name and ``(N,)`` values.
        bins: Number of bins between 0 and the next round number above the maximum.
    """
    end = _rounded_up(max((values.max() for _, values in series if values.size), default=0.0))
    shares = [
        # The E-measure of a perfect map is slightly above 1.
        np.histogram(values.clip(0, end), bins, (0, end))[0] / max(values.size, 1)
        for _, values in series
    ]
    highest = _rounded_up(max((share.max() for share in shares), default=0.0))
    wide = 0.9 / bins / max(len(series), 1)
    bars = []
    for number, (name, _) in enumerate(series):
        for at, share in enumerate(shares[number]):
            left = _at_x((at + 0.05) / bins + number * wide)
            top_y = _at_y(share / highest)
            tip = f"{escape(name)}: {share:.1%} from {at * end / bins:.3g}"
            bars.append(
                f'<rect class="bar {colour(number)}" x="{left:.1f}" y="{top_y:.1f}"'
                f' width="{_at_x(wide) - _LEFT:.1f}" height="{_at_y(0) - top_y:.1f}">'
                f"<title>{tip}</title></rect>"
            )
    return _chart(Axis(title, end), Axis("share of images", highest), bars)


def as_figure(found: Evaluation, kind: str) -> bytes:
    """Return a figure with a row per set: precision over recall, and F-measure over threshold.

    Args:
        found: Evaluation that includes the F-measure.
        kind: ``pdf``, ``svg`` or ``png``.
    """
    from matplotlib.figure import Figure

    sets = found.datasets
    figure = Figure(figsize=(_FIGURE_WIDTH, _FIGURE_HEIGHT * len(sets)), layout="constrained")
    axes = figure.subplots(len(sets), 2, squeeze=False)
    for (left, right), dataset in zip(axes, sets, strict=True):
        names: list[str] = []
        for at, row in enumerate(found.of(dataset)):
            if row.scores is None or row.scores.f is None:
                continue
            f = row.scores.f
            colour_on_white, _, dashes = LOOKS[at % len(LOOKS)]
            style = (0, tuple(part / _DASH_WIDTH for part in dashes)) if dashes else "-"
            look: dict[str, Any] = {"color": colour_on_white, "linestyle": style}
            left.plot(f.recall, f.precision, **look)
            names.append(_as_text(row.method))
            right.plot(THRESHOLDS, f.curve, **look)
        left.set(title=_as_text(dataset), xlabel="Recall", ylabel="Precision")
        right.set(xlabel="Threshold", ylabel="F-measure")
        for axis in (left, right):
            axis.set(xlim=(0, 1), ylim=(0, 1))
            axis.grid(alpha=0.3)
        if names:  # passed as they are: a label that begins with _ gets no entry by itself
            left.legend(left.lines, names, loc="lower left", fontsize="small")
    file = BytesIO()
    # Omit the date, so that equal scores give identical files.
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.savefig(file, format=kind, dpi=200, metadata=dates.get(kind))
    return file.getvalue()


def _as_text(name: str) -> str:
    """Return a name as text for Matplotlib, which takes signs between dollars for a formula."""
    return display_name(name).replace("$", r"\$")


def round_end(value: float) -> float:
    """Return an axis end with round ticks, at least ``value`` and at most 1.5 times it."""
    unit = 10.0 ** np.floor(np.log10(value))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return float(next((unit * step for step in steps if value <= unit * step * 1.000001), value))


def colour(number: int) -> str:
    """Return the CSS class of a series."""
    return f"c{number % len(LOOKS)}"


def _chart(x: Axis, y: Axis, marks: Sequence[str]) -> str:
    middle_y = _at_y(0.5)
    return "\n".join(
        (
            f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
            f' aria-label="{escape(y.title)} over {escape(x.title)}">',
            *_grid(x, y),
            *marks,
            f'<text class="axis" x="{_at_x(0.5):.0f}" y="{_HEIGHT - 6}">{escape(x.title)}</text>',
            f'<text class="axis" transform="translate(9 {middle_y:.0f}) rotate(-90)">'
            f"{escape(y.title)}</text>",
            "</svg>",
        )
    )


def _grid(x: Axis, y: Axis) -> list[str]:
    """Draw a line and a number at every tick of both axes."""
    parts = []
    for tick in range(x.ticks + 1):
        across, number = _at_x(tick / x.ticks), f"{tick / x.ticks * x.end:.3g}"
        parts += [
            f'<path class="grid" d="M{across:.1f} {_TOP}V{_at_y(0):.1f}"/>',
            f'<text class="tick" x="{across:.1f}" y="{_at_y(0) + 14:.1f}">{number}</text>',
        ]
    for tick in range(y.ticks + 1):
        up, number = _at_y(tick / y.ticks), f"{tick / y.ticks * y.end:.3g}"
        parts += [
            f'<path class="grid" d="M{_LEFT} {up:.1f}H{_WIDTH - _RIGHT}"/>',
            f'<text class="tick side" x="{_LEFT - 5}" y="{up + 3:.1f}">{number}</text>',
        ]
    return parts


def _rounded_up(value: float) -> float:
    """Return the smallest of 0.1, 0.2, 0.5 and 1 that is at least ``value``; at most 1."""
    return next((end for end in (0.1, 0.2, 0.5) if value <= end), 1.0)


def _at_x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _at_y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
