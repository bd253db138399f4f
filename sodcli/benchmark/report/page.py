"""An evaluation as one page of HTML that needs nothing but itself."""

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any, Final

import numpy as np

from sodcli import __version__
from sodcli.benchmark.report.charts import Axis, colour, histogram, line_chart
from sodcli.benchmark.report.samples import extremes, gallery, image_fault, score_of
from sodcli.benchmark.report.tables import counted, is_best, rounded
from sodcli.benchmark.results import Evaluation, ResultRow
from sodcli.metrics.scores import FScores

_PLACE: Final = "sodcli.benchmark.report"
_THRESHOLDS: Final = np.arange(255, -1, -1) / 255
_DIGITS: Final = 4


def as_html(found: Evaluation) -> str:
    """Return the page: scores, curves, best and worst images, and a table of all images."""
    title = "Scores of " + ", ".join(found.methods)
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{_asset('page.css')}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            _warnings(found),
            _means(found),
            *(part for dataset in found.datasets for part in _dataset(found, dataset)),
            _every_image(found),
            f"<footer>sodcli {__version__}</footer>",
            f"<script>{_asset('page.js')}</script>",
            "</body></html>\n",
        )
    )


def _asset(name: str) -> str:
    return files(_PLACE).joinpath(name).read_text(encoding="utf-8")


def _warnings(found: Evaluation) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in found.warnings())
    return f'<ul class="warnings">{items}</ul>' if items else ""


def _means(found: Evaluation) -> str:
    """Draw the table of means; the best of each set and column stands out."""
    head = "".join(f"<th>{escape(name)}</th>" for name in ("set", "method", "images", *found.names))
    lines = "".join(f"<tr>{''.join(_cells(found, row))}</tr>" for row in found.rows)
    protocols = {row.film for row in found.rows if row.film}
    says = "".join(f"<p>Films as {escape(one.paper)}: {escape(one.says)}.</p>" for one in protocols)
    return f'<div class="wide"><table class="means"><tr>{head}</tr>{lines}</table></div>{says}'


def _cells(found: Evaluation, row: ResultRow) -> Iterator[str]:
    for text in (row.dataset, row.method):
        yield f'<td class="word">{escape(text)}</td>'
    yield f"<td>{escape(counted(row))}</td>"
    for name in found.names:
        kind = ' class="best"' if is_best(found, row, name) else ""
        yield f"<td{kind}>{rounded(row, name)}</td>"


def _dataset(found: Evaluation, dataset: str) -> Iterator[str]:
    rows = [row for row in found.of(dataset) if row.scores]
    yield f"<h2>{escape(dataset)}</h2>"
    if not rows:
        yield "<p>No image was scored.</p>"
        return
    yield _legend(found.methods)
    yield f'<div class="charts">{"".join(_charts(found, rows))}</div>'
    by = found.names[0]
    worst, best = extremes(found.of(dataset), by)
    for word, ranked in (("Worst", worst), ("Best", best)):
        if ranked:
            yield f"<h3>{word} images by {by}, mean of all methods</h3>"
            yield gallery(ranked, found.methods, by)


def _legend(methods: list[str]) -> str:
    keys = (
        f'<span><svg viewBox="0 0 28 8"><path class="line {colour(at)}" d="M0 4H28"/></svg>'
        f"{escape(name)}</span>"
        for at, name in enumerate(methods)
    )
    return f'<div class="legend">{"".join(keys)}</div>'


def _charts(found: Evaluation, rows: list[ResultRow]) -> Iterator[str]:
    curves = [(row.method, row.scores.f) for row in rows if row.scores and row.scores.f]
    if curves:
        yield _figure("Precision and recall", line_chart(*_recall_axes(), _recall(curves)))
        series = [(name, _THRESHOLDS, f.curve) for name, f in curves]
        yield _figure("F-measure", line_chart(Axis("threshold"), Axis("F-measure"), series))
    by = found.names[0]
    spread = [(row.method, _scores(row, by)) for row in rows]
    yield _figure(f"{by} of the images", histogram(by, spread))


def _recall_axes() -> tuple[Axis, Axis]:
    return Axis("recall"), Axis("precision")


def _recall(curves: list[tuple[str, FScores]]) -> list[tuple[str, Any, Any]]:
    return [(name, f.recall, f.precision) for name, f in curves]


def _figure(title: str, chart: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{chart}</figure>"


def _scores(row: ResultRow, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    scores = (score_of(image, name) for image in row.images)
    return np.array([score for score in scores if score is not None], np.float64)


def _every_image(found: Evaluation) -> str:
    """Return the table of all images as data, which the page's script shows and sorts."""
    data = {
        "columns": ["set", "image", "method", *found.names],
        "rows": [line for row in found.rows for line in _lines(found, row)],
    }
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return (
        "<h2>Every image</h2>"
        '<p><input id="filter" type="search" placeholder="part of a name" aria-label="filter">'
        ' <span id="shown"></span></p>'
        '<div class="wide"><table id="images"></table></div>'
        '<p><button id="more" type="button" hidden>Show more</button></p>'
        f'<script type="application/json" id="data">{text}</script>'
    )


def _lines(found: Evaluation, row: ResultRow) -> Iterator[list[str | float | None]]:
    for image in row.images:
        scores = image.scores.as_dict() if image.scores else {}
        fault = image_fault(image)
        cells = [round(scores[name], _DIGITS) if name in scores else None for name in found.names]
        name = f"{image.name} ({fault})" if fault else image.name
        yield [row.dataset, name, row.method, *cells]
