"""Line charts and histograms as SVG; the colours come from the page's style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

COLOURS: Final = 8
"""Number of colours; they repeat if there are more series."""

_WIDTH, _HEIGHT = 400, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 10, 40
_TICKS: Final = 5

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """Title and upper end of an axis that starts at 0."""

    says: str
    end: float = 1.0


def line_chart(x: Axis, y: Axis, series: Sequence[tuple[str, Values, Values]]) -> str:
    """Draw curves.

    Args:
        x: Horizontal axis.
        y: Vertical axis.
        series: For each curve its name, ``(N,)`` x values and ``(N,)`` y values.
    """
    lines = []
    for number, (name, across, up) in enumerate(series):
        points = " ".join(
            f"{_at_x(u / x.end):.1f},{_at_y(v / y.end):.1f}"
            for u, v in zip(across, up, strict=True)
        )
        title = f"<title>{escape(name)}</title>"
        lines.append(
            f'<polyline class="line {colour(number)}" points="{points}">{title}</polyline>'
        )
    return _chart(x, y, lines)


def histogram(says: str, series: Sequence[tuple[str, Values]], *, bins: int = 16) -> str:
    """Draw a histogram of non-negative values: the share of images in each bin.

    Args:
        says: Title of the value axis.
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
            says_it = f"{escape(name)}: {share:.1%} from {at * end / bins:.3g}"
            bars.append(
                f'<rect class="bar {colour(number)}" x="{left:.1f}" y="{top_y:.1f}"'
                f' width="{_at_x(wide) - _LEFT:.1f}" height="{_at_y(0) - top_y:.1f}">'
                f"<title>{says_it}</title></rect>"
            )
    return _chart(Axis(says, end), Axis("share of images", highest), bars)


def colour(number: int) -> str:
    """Return the CSS class of a series."""
    return f"c{number % COLOURS}"


def _chart(x: Axis, y: Axis, marks: Sequence[str]) -> str:
    middle_y = _at_y(0.5)
    return "\n".join(
        (
            f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
            f' aria-label="{escape(y.says)} over {escape(x.says)}">',
            *_grid(x, y),
            *marks,
            f'<text class="axis" x="{_at_x(0.5):.0f}" y="{_HEIGHT - 6}">{escape(x.says)}</text>',
            f'<text class="axis" transform="translate(13 {middle_y:.0f}) rotate(-90)">'
            f"{escape(y.says)}</text>",
            "</svg>",
        )
    )


def _grid(x: Axis, y: Axis) -> list[str]:
    """Draw a line and a number at every tick of both axes."""
    parts = []
    for tick in range(_TICKS + 1):
        share = tick / _TICKS
        across, up = _at_x(share), _at_y(share)
        right, top = f"{share * x.end:.3g}", f"{share * y.end:.3g}"
        parts += [
            f'<path class="grid" d="M{across:.1f} {_TOP}V{_at_y(0):.1f}M{_LEFT} {up:.1f}'
            f'H{_WIDTH - _RIGHT}"/>',
            f'<text class="tick" x="{across:.1f}" y="{_at_y(0) + 14:.1f}">{right}</text>',
            f'<text class="tick side" x="{_LEFT - 5}" y="{up + 3:.1f}">{top}</text>',
        ]
    return parts


def _rounded_up(value: float) -> float:
    """Return the smallest axis end with round ticks that is at least ``value``."""
    return next((end for end in (0.1, 0.2, 0.5) if value <= end), 1.0)


def _at_x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _at_y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
