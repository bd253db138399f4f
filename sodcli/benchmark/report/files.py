"""Report files: the suffix determines the format."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from sodcli.benchmark.report.charts import as_figure
from sodcli.benchmark.report.page import as_html
from sodcli.benchmark.report.sheet import NEEDED, as_sheet
from sodcli.benchmark.report.tables import as_csv, as_dict, as_latex, as_markdown
from sodcli.benchmark.results import Evaluation
from sodcli.errors import SinkError, UsageError
from sodcli.files import write_whole
from sodcli.text import did_you_mean, reason_of

FIGURES: Final = (".pdf", ".svg", ".png")
_WRITERS: Final[Mapping[str, Callable[[Evaluation], bytes]]] = {
    ".json": lambda found: (json.dumps(as_dict(found), allow_nan=False) + "\n").encode(),
    ".csv": lambda found: as_csv(found).encode(errors="replace"),
    ".xlsx": as_sheet,
    ".html": lambda found: as_html(found).encode(errors="replace"),
    ".md": lambda found: as_markdown(found).encode(),
    ".tex": lambda found: as_latex(found).encode(),
    **{suffix: partial(as_figure, kind=suffix[1:]) for suffix in FIGURES},
}
SUFFIXES: Final = tuple(_WRITERS)


def check_reports(paths: Sequence[Path], which: frozenset[str]) -> None:
    """Check that the reports can be written, before the evaluation starts.

    Args:
        paths: Report files.
        which: Names of the measures that will be computed.

    Raises:
        UsageError: If a suffix is unknown, needs a package that is not installed or measures that
            are not in ``which``, or if a path is a folder.
        SinkError: If a file cannot be written.
    """
    for path in paths:
        suffix = path.suffix.lower()
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; give the report a file name")
        if suffix not in _WRITERS:
            hint = did_you_mean(suffix, SUFFIXES)
            raise UsageError(
                f"-o {path}: no report has this suffix.{hint} Known: {', '.join(_WRITERS)}"
            )
        if suffix == ".xlsx" and find_spec("openpyxl") is None:
            raise UsageError("-o FILE.xlsx needs openpyxl: pip install 'sodcli[xlsx]'")
        if suffix == ".xlsx" and not which >= NEEDED:
            raise UsageError("-o FILE.xlsx has columns of F and MAE: add f and mae to --metrics")
        if suffix in FIGURES and find_spec("matplotlib") is None:
            raise UsageError(f"-o FILE{suffix} needs matplotlib: pip install 'sodcli[plot]'")
        if suffix in FIGURES and "f" not in which:
            raise UsageError(f"-o FILE{suffix} draws curves of F: add f to --metrics")
        _check_place(path)


def write_reports(found: Evaluation, paths: Sequence[Path]) -> list[Path]:
    """Write each report atomically, replacing existing files; return their paths.

    Raises:
        SinkError: If one cannot be written.
    """
    for path in paths:
        write_whole(path, _WRITERS[path.suffix.lower()](found))
    return list(paths)


def _check_place(path: Path) -> None:
    """Try to create a temporary file in the folder of ``path`` or its nearest existing parent."""
    try:
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        with TemporaryFile(dir=folder):  # checking permissions is not sufficient
            pass
    except OSError as error:
        raise SinkError(f"cannot write {path}: {reason_of(error)}") from error
