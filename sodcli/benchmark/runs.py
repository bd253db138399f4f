"""``sod runs``: compare training runs by their folders."""

import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from markupsafe import Markup

from sodcli.benchmark.report.charts import LOOKS, TICKS, Axis, Values, colour, line_chart, round_end
from sodcli.benchmark.report.samples import embedded
from sodcli.benchmark.report.tables import SMALL_IS_GOOD
from sodcli.data.read import read_image
from sodcli.errors import MissingError, SourceError, UsageError
from sodcli.files import natural_key, read_settings
from sodcli.tables import flattened
from sodcli.text import reason_of, render_html

_SCORES: Final = ("maxF", "MAE")
_CONFIG: Final = "config.toml"
_PAGE_PX: Final = 480  # width of a sheet of sample pictures
_REDUNDANT: Final = frozenset({"recipe"})  # its values are in the other settings


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A run folder that ``sod train`` wrote.

    Attributes:
        name: Name of the folder, or its path if several share the name.
        folder: The folder.
        settings: All settings by dotted name, such as ``optimizer.name``.
        rows: Metrics of each epoch.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def epochs(self) -> int:
        """Epochs of the whole run; those done if the config does not say."""
        epochs = self.settings.get("epochs")
        return epochs if isinstance(epochs, int) else len(self.rows)

    def best(self, score: str) -> tuple[float, int] | None:
        """Return the best value of ``score`` and its epoch; None if it was never computed."""
        taken = [(row[score], row["epoch"]) for row in self.rows if score in row]
        if not taken:
            return None
        pick = min if score in SMALL_IS_GOOD else max
        return pick(taken, key=lambda entry: entry[0])

    def sheets(self) -> dict[str, Path]:
        """Return the sheets of sample pictures by their file name."""
        return {path.name: path for path in sorted((self.folder / "samples").glob("epoch_*.png"))}


def read_runs(folders: Sequence[Path]) -> list[TrainingRun]:
    """Read the config and metrics of run folders; a folder of runs stands for the runs in it.

    Raises:
        MissingError: If a folder is not a run of ``sod train``.
        UsageError: If a folder is given twice.
        SourceError: If a config is damaged, or a file cannot be read.
    """
    folders = [run for folder in folders for run in _runs_in(folder)]
    names = [folder.absolute().name for folder in folders]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("a run is given twice")
    return [
        _read_run(folder, name if names.count(name) == 1 else str(folder))
        for folder, name in zip(folders, names, strict=True)
    ]


def differing_settings(runs: Sequence[TrainingRun]) -> dict[str, list[Any]]:
    """Return the settings in which the runs differ, with the value of each run."""
    keys = dict.fromkeys(key for run in runs for key in run.settings if key not in _REDUNDANT)
    columns = {key: [run.settings.get(key) for run in runs] for key in keys}
    return {key: column for key, column in columns.items() if any(v != column[0] for v in column)}


Table = tuple[list[str], list[list[str]]]
"""Header and rows."""


def progress_table(runs: Sequence[TrainingRun]) -> Table:
    """Return a row per run with its progress and best scores."""
    head = ["run", "epochs", *_SCORES, "loss", "img/s"]
    lines = []
    for run in runs:
        last = run.rows[-1] if run.rows else {}
        loss = last.get("loss_per_pixel", last.get("loss"))
        lines.append(
            [
                run.name,
                f"{len(run.rows)} of {run.epochs}",
                *(_best(run, score) for score in _SCORES),
                "-" if loss is None else f"{loss:.4g}",
                f"{last['images_per_s']:.3g}" if "images_per_s" in last else "-",
            ]
        )
    return head, lines


def settings_table(runs: Sequence[TrainingRun]) -> Table:
    """Return a row per setting in which the runs differ, with a column per run."""
    head = ["setting", *(run.name for run in runs)]
    return head, [[key, *map(_shown, column)] for key, column in differing_settings(runs).items()]


def as_page(runs: Sequence[TrainingRun]) -> str:
    """Return a self-contained page: table, curves, and sample pictures of the last common epoch."""
    common = set.intersection(*(set(run.sheets()) for run in runs)) if runs else set()
    sheet = max(common, default=None)
    return render_html(
        "sodcli.benchmark.report",
        "runs.html",
        title="Runs " + ", ".join(run.name for run in runs),
        tables=[progress_table(runs), settings_table(runs)],
        looks=LOOKS,
        legend=[(run.name, colour(at)) for at, run in enumerate(runs)],
        charts=[(title, Markup(chart)) for title, chart in _charts(runs)],
        epoch=int(sheet.removeprefix("epoch_").removesuffix(".png")) if sheet else None,
        sheets=[(run.name, _sheet(run.sheets()[sheet])) for run in runs] if sheet else [],
    )


def _runs_in(folder: Path) -> list[Path]:
    """Return ``folder``, or the runs in it if it is not a run itself."""
    if (folder / _CONFIG).is_file():
        return [folder]
    inside = [path.parent for path in folder.glob(f"*/{_CONFIG}")]
    return sorted(inside, key=lambda run: natural_key(run.name)) or [folder]


def _read_run(folder: Path, name: str) -> TrainingRun:
    config = folder / _CONFIG
    if not config.is_file():
        raise MissingError(f"{folder}: not a run of sod train; there is no config.toml")
    try:
        settings = flattened(tomllib.loads(read_settings(config)))
        rows = _rows(folder / "metrics.jsonl")
    except (OSError, ValueError) as error:
        place = getattr(error, "filename", None) or config
        raise SourceError(f"{place}: {reason_of(error)}") from error
    return TrainingRun(name, folder, settings, tuple(rows))


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the epochs' metrics.

    Lines that a crash truncated or damaged are left out, and so are values that are not numbers
    or have no finite float64.
    """
    rows: list[dict[str, Any]] = []
    if not path.is_file():
        return rows
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        items = row.items() if isinstance(row, dict) else ()
        numbers = {key: value for key, value in items if _is_number(value)}
        if isinstance(numbers.get("epoch"), int):
            rows.append(numbers)
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def _best(run: TrainingRun, score: str) -> str:
    found = run.best(score)
    return "-" if found is None else f"{found[0]:.4f} (epoch {found[1]})"


def _shown(value: Any) -> str:
    if value in (None, "", []):
        return "-"
    if not isinstance(value, list):
        return str(value)
    if any(isinstance(one, Mapping) for one in value):  # groups of the optimizer: too long
        return f"{len(value)} (see {_CONFIG})"
    return " ".join(map(str, value))


def _charts(runs: Sequence[TrainingRun]) -> list[tuple[str, str]]:
    last = max((row["epoch"] for run in runs for row in run.rows), default=0)
    epochs = Axis("epoch", -(-last // TICKS) * TICKS if last > TICKS else last, min(last, TICKS))
    charts = []
    for title, keys in (
        ("Loss per pixel", ("loss_per_pixel", "loss")),
        ("maxF", ("maxF",)),
        ("MAE", ("MAE",)),
        ("Learning rate", ("lr",)),
    ):
        series = [(run.name, *_curve(run, keys)) for run in runs]
        highest = max((float(values.max()) for _, _, values in series if values.size), default=0.0)
        if highest > 0:
            end = 1.0 if title == "maxF" else round_end(highest)
            charts.append((title, line_chart(epochs, Axis(title, end), series)))
    return charts


def _curve(run: TrainingRun, keys: Sequence[str]) -> tuple[Values, Values]:
    """Return the epochs that have a value, ``(N,)``, and of each the value of its first key."""
    found = [(row["epoch"], [row[key] for key in keys if key in row]) for row in run.rows]
    points = [(epoch, values[0]) for epoch, values in found if values]
    across, up = np.array(points, np.float64).reshape(-1, 2).T
    return across, up


def _sheet(path: Path) -> str | None:
    try:
        pixels = read_image(path)
    except SourceError:
        return None
    size_wh = (_PAGE_PX, max(1, round(pixels.shape[0] * _PAGE_PX / pixels.shape[1])))
    return embedded(np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA)), ".jpg")
