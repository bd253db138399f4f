"""An evaluation as one self-contained page of HTML."""

import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from sodcli.benchmark.bootstrap import SHARE, Difference, differences
from sodcli.benchmark.report.charts import LOOKS, THRESHOLDS, Axis, colour, histogram, line_chart
from sodcli.benchmark.report.samples import extremes, gallery, image_fault, score_of
from sodcli.benchmark.report.tables import counted, is_best, rounded
from sodcli.benchmark.results import Evaluation, ResultRow
from sodcli.text import render_html

_DIGITS: Final = 4


def as_html(found: Evaluation) -> str:
    """Return the page: scores, differences, curves, best and worst images, and every image."""
    gaps = differences(found)
    return render_html(
        "sodcli.benchmark.report",
        "page.html",
        title="Scores of " + ", ".join(found.methods),
        warnings=found.warnings(),
        names=found.names,
        methods=found.methods,
        means=[_means(found, row) for row in found.rows],
        protocols=list(dict.fromkeys(row.film for row in found.rows if row.film)),
        share=f"{SHARE:.0%}",
        gaps=list(_gaps(found, gaps)),
        looks=LOOKS,
        legend=[(name, colour(at)) for at, name in enumerate(found.methods)],
        by=found.names[0] if found.names else "",
        sets=[_set(found, dataset) for dataset in found.datasets],
        data=_every_image(found),
    )


def _means(found: Evaluation, row: ResultRow) -> dict[str, Any]:
    scores = [(rounded(row, name), is_best(found, row, name)) for name in found.names]
    return {
        "dataset": row.dataset,
        "method": row.method,
        "images": counted(row),
        "scores": scores,
    }


def _gaps(found: Evaluation, gaps: list[Difference]) -> Iterator[dict[str, Any]]:
    lines: dict[tuple[str, str, str], dict[str, Difference]] = {}
    for gap in gaps:
        lines.setdefault((gap.dataset, gap.method, gap.other), {})[gap.score] = gap
    for (dataset, method, other), by_score in lines.items():
        cells = [_gap(by_score.get(name)) for name in found.names]
        yield {"dataset": dataset, "methods": f"{method} - {other}", "cells": cells}


def _gap(gap: Difference | None) -> tuple[str, bool]:
    if gap is None:
        return "-", False
    clear = gap.low > 0 or gap.high < 0
    return f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]", clear


def _set(found: Evaluation, dataset: str) -> dict[str, Any]:
    rows = [row for row in found.of(dataset) if row.scores]
    if not rows or not found.names:
        return {"dataset": dataset, "charts": []}
    by = found.names[0]
    worst, best = extremes(found.of(dataset), by)
    shown = [(word, gallery(ranked, by)) for word, ranked in (("Worst", worst), ("Best", best))]
    return {
        "dataset": dataset,
        "charts": [(title, Markup(chart)) for title, chart in _charts(found, rows)],
        "galleries": [(word, lines) for word, lines in shown if lines],
    }


def _charts(found: Evaluation, rows: list[ResultRow]) -> Iterator[tuple[str, str]]:
    curves = [(row.method, row.scores.f) for row in rows if row.scores and row.scores.f]
    if curves:
        recall = [(name, f.recall, f.precision) for name, f in curves]
        yield "Precision and recall", line_chart(Axis("recall"), Axis("precision"), recall)
        series = [(name, THRESHOLDS, f.curve) for name, f in curves]
        yield "F-measure", line_chart(Axis("threshold"), Axis("F-measure"), series)
    by = found.names[0]
    yield f"{by} of the images", histogram(by, [(row.method, _scores(row, by)) for row in rows])


def _scores(row: ResultRow, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    scores = (score_of(image, name) for image in row.images)
    return np.array([score for score in scores if score is not None], np.float64)


def _every_image(found: Evaluation) -> Markup:
    """Return the table of all images as JSON, which the page's script shows and sorts."""
    data = {
        "columns": ["set", "image", "method", *found.names],
        "rows": [line for row in found.rows for line in _lines(found, row)],
    }
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(text)


def _lines(found: Evaluation, row: ResultRow) -> Iterator[list[str | float | None]]:
    for image in row.images:
        scores = image.scores.as_dict() if image.scores else {}
        fault = image_fault(image)
        cells = [round(scores[name], _DIGITS) if name in scores else None for name in found.names]
        name = f"{image.name} ({fault})" if fault else image.name
        yield [row.dataset, name, row.method, *cells]
