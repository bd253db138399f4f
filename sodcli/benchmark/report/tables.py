"""An evaluation as rows, CSV and JSON."""

import csv
import io
from typing import Any, Final, get_args

from sodcli import __version__
from sodcli.benchmark.measure import Oddity
from sodcli.benchmark.results import Evaluation, ImageResult, ResultRow, values
from sodcli.metrics.scores import DatasetScores

SMALL_IS_GOOD: Final = frozenset({"MAE"})
_DIGITS: Final = 6
_ODDITIES: Final = get_args(Oddity)


def counted(row: ResultRow) -> str:
    """Return how many images have scores, and of how many if some have none."""
    have, wanted = row.scores.images if row.scores else 0, len(row.images)
    return str(have) if have == wanted else f"{have} of {wanted}"


def rounded(row: ResultRow, name: str) -> str:
    """Return a score as papers print it, with four digits; a dash where there is none."""
    value = values(row).get(name)
    return "-" if value is None else f"{value:.4f}"


def is_best(found: Evaluation, row: ResultRow, name: str) -> bool:
    """Tell whether no other method has a better score on the set; false where there is no other."""
    scores = [values(other)[name] for other in found.of(row.dataset) if name in values(other)]
    if len(scores) < 2 or name not in values(row):
        return False
    best = min(scores) if name in SMALL_IS_GOOD else max(scores)
    return values(row)[name] == best


def columns(found: Evaluation) -> list[str]:
    """Return the names of what :func:`cells` returns."""
    return ["set", "method", "images", "expected", "missing", "damaged", "resized", *found.names]


def cells(found: Evaluation, row: ResultRow) -> list[str | int | float | None]:
    """Return a row for a spreadsheet: names, counts and scores; None where there is no score."""
    have, scores = row.scores.images if row.scores else 0, values(row)
    counts = (len(row.images), len(row.missing), len(row.damaged), len(row.odd("resized")))
    return [row.dataset, row.method, have, *counts, *map(scores.get, found.names)]


def as_csv(found: Evaluation) -> str:
    """Return the table with a row per set and method, means and counts."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns(found))
    for row in found.rows:
        line = cells(found, row)
        writer.writerow(f"{one:.{_DIGITS}f}" if isinstance(one, float) else one for one in line)
    return text.getvalue()


def as_dict(found: Evaluation) -> dict[str, Any]:
    """Return everything as JSON takes it: means, curves, faults, and the scores of each image."""
    return {
        "sodcli": __version__,
        "measures": sorted(found.which),
        "warnings": found.warnings(),
        "results": [_row(row) for row in found.rows],
    }


def _row(row: ResultRow) -> dict[str, Any]:
    return {
        "set": row.dataset,
        "method": row.method,
        "protocol": row.film.name if row.film else "images",
        "images": row.scores.images if row.scores else 0,
        "expected": len(row.images),
        "scores": values(row),
        "undefined": dict(row.scores.undefined) if row.scores else {},
        "missing": row.missing,
        "damaged": row.damaged,
        **{kind.replace(" ", "_"): row.odd(kind) for kind in _ODDITIES},
        "unused": [str(path) for path in row.unused],
        "curves": _curves(row.scores) if row.scores else {},
        "per_image": [_image(image) for image in row.images],
    }


def _image(image: ImageResult) -> dict[str, Any]:
    return {
        "name": image.name,
        "map": str(image.map) if image.map else None,
        "truth": str(image.truth),
        "scores": image.scores.as_dict() if image.scores else {},
    }


def _curves(scores: DatasetScores) -> dict[str, list[float]]:
    """Return the mean curves, at the thresholds 255, 254, ... 0 of 255."""
    curves: dict[str, list[float]] = {}
    if scores.f:
        curves = {"precision": scores.f.precision.tolist(), "recall": scores.f.recall.tolist()}
        curves["f"] = scores.f.curve.tolist()
    if scores.e:
        curves["e"] = scores.e.curve.tolist()
    return curves
