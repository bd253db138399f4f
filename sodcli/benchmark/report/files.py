"""Where the reports of an evaluation go."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile

from sodcli.benchmark.report.page import as_html
from sodcli.benchmark.report.sheet import NEEDED, as_sheet
from sodcli.benchmark.report.tables import as_csv, as_dict
from sodcli.benchmark.results import Evaluation
from sodcli.errors import SinkError, UsageError
from sodcli.files import write_whole
from sodcli.text import reason_of


@dataclass(frozen=True, slots=True)
class Reports:
    """Files to write; None where one is not wanted. What is there is replaced."""

    json: Path | None = None
    csv: Path | None = None
    xlsx: Path | None = None
    html: Path | None = None

    def check(self, which: frozenset[str]) -> None:
        """See, before the work, that the reports can be written.

        Raises:
            UsageError: If Excel files need another package, or measures that are not taken; or a
                report is to go where a folder is.
            SinkError: If nothing can be written at a report's place.
        """
        for path in (self.json, self.csv, self.xlsx, self.html):
            if path is not None:
                _check_place(path)
        if self.xlsx is not None and find_spec("openpyxl") is None:
            raise UsageError("--xlsx needs openpyxl: pip install 'sodcli[xlsx]'")
        if self.xlsx is not None and not which >= NEEDED:
            raise UsageError("--xlsx has columns of F and MAE: add f and mae to --metrics")

    def write(self, found: Evaluation) -> list[Path]:
        """Write the reports, each whole or not at all, and return their paths.

        Raises:
            SinkError: If one cannot be written.
        """
        written = []
        for path, write in (
            (self.json, _write_json),
            (self.csv, _write_csv),
            (self.xlsx, _write_xlsx),
            (self.html, _write_html),
        ):
            if path is not None:
                write(found, path)
                written.append(path)
        return written


def _check_place(path: Path) -> None:
    """Try to make a file where ``path`` will be, or, as yet without a folder, that folder will."""
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; give the report a file name")
    try:
        folder = next(folder for folder in path.parents if folder.exists())
        with TemporaryFile(dir=folder):  # permissions alone tell too little
            pass
    except OSError as error:
        raise SinkError(f"cannot write {path}: {reason_of(error)}") from error


def _write_json(found: Evaluation, path: Path) -> None:
    write_whole(path, (json.dumps(as_dict(found), allow_nan=False) + "\n").encode())


def _write_csv(found: Evaluation, path: Path) -> None:
    write_whole(path, as_csv(found).encode())


def _write_xlsx(found: Evaluation, path: Path) -> None:
    write_whole(path, as_sheet(found))


def _write_html(found: Evaluation, path: Path) -> None:
    write_whole(path, as_html(found).encode())
