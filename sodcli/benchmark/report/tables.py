"""An evaluation as a CSV, Markdown or LaTeX table, and as JSON."""

import csv
import io
from dataclasses import asdict
from typing import Any, Final, get_args

from sodcli import __version__
from sodcli.benchmark.bootstrap import differences
from sodcli.benchmark.measure import Oddity
from sodcli.benchmark.results import Evaluation, ImageResult, ResultRow, values
from sodcli.metrics.scores import DatasetScores
from sodcli.text import display_name

SMALL_IS_GOOD: Final = frozenset({"MAE", "BER"})
_MARKDOWN: Final = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_~<[&|"})
_LATEX: Final = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}  # OT1 lacks them
    | {"[": "{[}"}  # after a command it would begin an option
)
_DIGITS: Final = 6
_ODDITIES: Final = get_args(Oddity)


def counted(row: ResultRow) -> str:
    """Return the number of images with scores, as ``60 of 297`` if some have none."""
    have, wanted = row.scores.images if row.scores else 0, len(row.images)
    return str(have) if have == wanted else f"{have} of {wanted}"


def rounded(row: ResultRow, name: str) -> str:
    """Return a score with four digits, as usual in papers; a dash if there is none."""
    value = values(row).get(name)
    return "-" if value is None else f"{value:.4f}"


def rank(found: Evaluation, row: ResultRow, name: str) -> int | None:
    """Return the rank of a score on its set, from 1 for the best; None without a rank.

    Methods without scores for some images have no rank; neither has a single method.
    """
    ranked = [
        values(one)[name] for one in found.of(row.dataset) if one.complete and name in values(one)
    ]
    if len(ranked) < 2 or not row.complete or name not in values(row):
        return None
    ordered = sorted(set(ranked), reverse=name not in SMALL_IS_GOOD)
    return ordered.index(values(row)[name]) + 1


def is_best(found: Evaluation, row: ResultRow, name: str) -> bool:
    """Return True if the row has rank 1: see :func:`rank`."""
    return rank(found, row, name) == 1


def as_markdown(found: Evaluation) -> str:
    """Return the table as Markdown: the best score bold, the second underlined."""
    head = ["set", "method", "images", *(f"{name} {_arrow(name)}" for name in found.names)]
    lines = [head, ["---", "---", *["---:"] * (1 + len(found.names))]]
    for row in found.rows:
        scores = [_marked(found, row, name, "**{}**", "<u>{}</u>") for name in found.names]
        words = (display_name(text).translate(_MARKDOWN) for text in (row.dataset, row.method))
        lines.append([*words, counted(row), *scores])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_latex(found: Evaluation) -> str:
    """Return the table as LaTeX for the package booktabs: best bold, second underlined."""
    arrows = {"\u2191": r"$\uparrow$", "\u2193": r"$\downarrow$"}
    head = ["Set", "Method", *(f"{name} {arrows[_arrow(name)]}" for name in found.names)]
    lines = [r"\begin{tabular}{ll" + "c" * len(found.names) + "}", r"\toprule", _tex_row(head)]
    previous = None
    for row in found.rows:
        if row.dataset != previous:
            lines.append(r"\midrule")
        name = display_name(row.dataset).translate(_LATEX) if row.dataset != previous else ""
        note = "" if row.complete else f" ({counted(row)})"
        marks = (r"\textbf{{{}}}", r"\underline{{{}}}")
        scores = [_marked(found, row, score, *marks) for score in found.names]
        lines.append(_tex_row([name, display_name(row.method).translate(_LATEX) + note, *scores]))
        previous = row.dataset
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _tex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _arrow(name: str) -> str:
    return "\u2193" if name in SMALL_IS_GOOD else "\u2191"


def _marked(found: Evaluation, row: ResultRow, name: str, best: str, second: str) -> str:
    text = rounded(row, name)
    return {1: best, 2: second}.get(rank(found, row, name) or 0, "{}").format(text)


def columns(found: Evaluation) -> list[str]:
    """Return the column names of :func:`cells`."""
    return ["set", "method", "images", "expected", "missing", "damaged", "resized", *found.names]


def cells(found: Evaluation, row: ResultRow) -> list[str | int | float | None]:
    """Return a row for a spreadsheet: names, counts and scores; None if there is no score."""
    have, scores = row.scores.images if row.scores else 0, values(row)
    counts = (len(row.images), len(row.missing), len(row.damaged), len(row.odd("resized")))
    return [row.dataset, row.method, have, *counts, *map(scores.get, found.names)]


def as_csv(found: Evaluation) -> str:
    """Return the table as CSV, with a row of means and counts per set and method."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns(found))
    for row in found.rows:
        line = cells(found, row)
        writer.writerow(f"{one:.{_DIGITS}f}" if isinstance(one, float) else one for one in line)
    return text.getvalue()


def as_dict(found: Evaluation) -> dict[str, Any]:
    """Return means, curves, faults, intervals and the scores of each image, ready for JSON."""
    return {
        "sodcli": __version__,
        "measures": sorted(found.which),
        "warnings": found.warnings(),
        "results": [_row(row) for row in found.rows],
        "differences": [asdict(one) for one in differences(found)],
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
