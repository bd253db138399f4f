"""An evaluation as an Excel file, in the layout of MINet's code (Pang et al., CVPR 2020)."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np

from sodcli.benchmark.report.tables import cells, columns
from sodcli.benchmark.results import Evaluation, ResultRow
from sodcli.metrics.region import BETA_SQUARED
from sodcli.metrics.scores import FScores
from sodcli.registry import plain_name

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

PUBLISHED: Final = {
    "DUTS": 5019,
    "DUT-OMRON": 5168,
    "HKU-IS": 1447,
    "ECSSD": 1000,
    "PASCAL-S": 850,
    "SOC": 1200,
}
"""Sets in the order of MINet's sheet, with their number of images."""

NEEDED: Final = frozenset({"mae", "f"})
"""Measures that MINet's sheet requires."""

_COLUMNS: Final = ("MAXF", "MEANF", "MAE")
_FOUR_DIGITS: Final = "0.0000"  # number format; the cells hold all digits
_NOTE: Final = (
    "The sheet of MINet's authors (Pang et al., CVPR 2020), computed as they do. MAXF: the largest "
    "F-measure of the set's mean precision and mean recall; maxF of the sheet Scores is the "
    "maximum of the mean F-measure instead. MEANF: adpF of Scores. MAE: the same. Sets that were "
    "not scored stay empty."
)
_OTHER_NAMES: Final = {"DUTSTE": "DUTS", "DUTO": "DUT-OMRON"}


def as_sheet(found: Evaluation) -> bytes:
    """Return an Excel file: sheet ``Scores`` with all scores, ``Results`` with MINet's columns.

    MINet computes MAXF from the mean precision and recall, and MEANF at the adaptive threshold.

    Args:
        found: Evaluation that includes the measures of ``NEEDED``.
    """
    from openpyxl import Workbook

    book = Workbook()
    _fill_scores(book.worksheets[0], found)
    results = book.create_sheet("Results")
    names = _columns_of(found.datasets)
    places = _head(results, found, names)
    for line, method in enumerate(found.methods, start=4):
        results.cell(line, 1, _text(method))
        for row in found.rows:
            if row.method == method:
                _fill_row(results, line, places[names[row.dataset]], row)
    results.cell(len(found.methods) + 5, 1, _NOTE)
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def _text(name: str) -> str:
    """Return a name as cell text, without control characters and not as a formula."""
    plain = "".join(c for c in name if c.isprintable())
    return f"'{plain}" if plain.startswith("=") else plain


def _column_of(dataset: str) -> str:
    """Return MINet's name of a set, or else its name in upper case."""
    plain = plain_name(dataset).upper()
    known = {plain_name(name).upper(): name for name in PUBLISHED} | _OTHER_NAMES
    return known.get(plain, dataset.upper())


def _columns_of(datasets: Sequence[str]) -> dict[str, str]:
    """Return the column of each set; of two with the same one, the later keeps its own name."""
    names: dict[str, str] = {}
    for dataset in sorted(datasets, key=lambda name: name != _column_of(name)):
        column = _column_of(dataset)
        names[dataset] = dataset if column in names.values() else column
    return names


def _head(sheet: "Worksheet", found: Evaluation, names: Mapping[str, str]) -> dict[str, int]:
    """Write the first three rows; return the first column of each name."""
    counts = dict(PUBLISHED)
    counts |= {names[row.dataset]: len(row.images) for row in found.rows}
    for line, word in enumerate(("name_dataset", "num_dataset", "metrics"), start=1):
        sheet.cell(line, 1, word)
    places = {}
    for number, (name, count) in enumerate(counts.items()):
        left = places[name] = 2 + number * len(_COLUMNS)
        for line, value in enumerate((_text(name), count), start=1):
            sheet.cell(line, left, value)
            sheet.merge_cells(start_row=line, end_row=line, start_column=left, end_column=left + 2)
        for at, word in enumerate(_COLUMNS):
            sheet.cell(3, left + at, word)
    return places


def _fill_row(sheet: "Worksheet", line: int, left: int, row: ResultRow) -> None:
    if row.scores is None or row.scores.f is None:
        return
    scores = (_max_f(row.scores.f), row.scores.f.adaptive, row.scores.mae)
    for at, value in enumerate(scores):
        sheet.cell(line, left + at, value)


def _max_f(f: FScores) -> float:
    weighted = BETA_SQUARED * f.precision + f.recall
    product = (1 + BETA_SQUARED) * f.precision * f.recall
    return float((product / np.where(weighted == 0, 1, weighted)).max())


def _fill_scores(sheet: "Worksheet", found: Evaluation) -> None:
    sheet.title = "Scores"
    sheet.append(columns(found))
    for row in found.rows:
        sheet.append([_text(one) if isinstance(one, str) else one for one in cells(found, row)])
    for line in sheet.iter_rows(min_row=2):
        for cell in line:
            if isinstance(cell.value, float):
                cell.number_format = _FOUR_DIGITS
