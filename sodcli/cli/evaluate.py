"""``sod eval``: scores of saliency maps."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from sodcli.cli import evaluate_options as opt
from sodcli.cli import options, ui
from sodcli.errors import BatchError, UsageError
from sodcli.files import user_path

if TYPE_CHECKING:
    from sodcli.pipelines.evaluate import Plan
    from sodcli.pipelines.scoring.outcome import Evaluation

_ALIASES: Final = {
    **dict.fromkeys(("maxf", "meanf", "avgf", "adpf", "fm"), "f"),
    **dict.fromkeys(("maxe", "meane", "adpe", "em"), "e"),
    "sm": "s",
    "wfm": "wf",
}


def evaluate(
    maps: opt.Maps,
    gt: opt.Truth = None,
    metrics: opt.Measures = "mae,f,wf,s,e,mba",
    video: opt.Video = None,
    strict: opt.Strict = False,
    workers: opt.Workers = None,
    json: opt.Json = None,
    csv: opt.Csv = None,
    xlsx: opt.Xlsx = None,
    html: opt.Html = None,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Score saliency maps against ground truth and print the table; * is the best of a set.

    [bold]sod eval maps/ECSSD data/ECSSD[/] scores one folder; roots of several sets do as well.

    [bold]sod eval --gt data ours=maps/a theirs=maps/b --html report.html[/] compares methods.
    """
    folders = list(maps)
    truth = gt or _last(folders)
    methods = _methods(folders)
    words = metrics.lower().replace(",", " ").split()
    which = frozenset(_ALIASES.get(word, word) for word in words)
    from sodcli.metrics.video import PROTOCOLS
    from sodcli.pipelines import evaluate as work
    from sodcli.pipelines.report.files import Reports

    reports = Reports(Path(json) if json and json != "-" else None, csv, xlsx, html)
    reports.check(which)
    film = PROTOCOLS[video] if video else None
    planned = work.plan(methods, truth, which=which, film=film)
    if film is None and any(one.film for one in planned.sets):
        ui.note("films are scored frame by frame; --video scores them as papers do", quiet=quiet)
    with ui.progress("images", planned.images, quiet=quiet) as advance:
        count = workers or workers_for(planned)
        found = work.run(planned, strict=strict, workers=count, advance=advance)
    for line in found.warnings():
        ui.warn(line)
    try:
        show(found, as_json=json == "-")
    finally:  # although nobody may read the table any more
        for path in reports.write(found):
            ui.note(f"wrote {path}", quiet=quiet)
    if found.damaged:
        raise typer.Exit(BatchError.exit_code)


def _last(folders: list[str]) -> Path:
    """Take the ground truth off the end of the arguments."""
    if len(folders) < 2:
        raise UsageError("where is the ground truth? sod eval MAPS GT, or --gt GT")
    return user_path(folders.pop())


def _methods(folders: list[str]) -> dict[str, Path]:
    methods: dict[str, Path] = {}
    for text in folders:
        name, equals, folder = text.partition("=")
        if not equals or Path(text).is_dir():
            name, folder = "", text
        path = user_path(folder)
        name = name or Path(os.path.realpath(path)).name
        if name in methods:
            raise UsageError(f"two methods are called {name!r}: give names, as in a=FOLDER")
        methods[name] = path
    return methods


def workers_for(planned: "Plan") -> int:
    """Return how many processes pay: to begin, one takes as long as some 100 images."""
    return max(1, min(os.cpu_count() or 1, planned.images * len(planned.maps) // 300))


def show(found: "Evaluation", *, as_json: bool) -> None:
    """Print the table, or everything as JSON."""
    from sodcli.pipelines.report.tables import as_dict, counted, is_best, rounded

    if as_json:
        ui.put_json(as_dict(found))
        return
    rows = [
        [row.dataset, row.method, counted(row)]
        + [rounded(row, name) + "*" * is_best(found, row, name) for name in found.names]
        for row in found.rows
    ]
    ui.put_table(["set", "method", "images", *found.names], rows)
