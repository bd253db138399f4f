"""``sod eval``: scores of saliency maps."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from sodcli.cli import completion, options, ui
from sodcli.errors import BatchError, UsageError
from sodcli.files import user_path
from sodcli.metrics import ALL, MEASURES, USUAL

if TYPE_CHECKING:
    from sodcli.benchmark.evaluate import EvaluationPlan
    from sodcli.benchmark.results import Evaluation

Maps = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]MAPS... [GT]",
        help="Folders of maps, one per method, and last the ground truth, unless --gt names it.",
    ),
]
Truth = Annotated[
    Path | None,
    typer.Option("--gt", help="Ground truth: a folder of masks, a data set, or a root of sets."),
]
_USUAL: Final = ",".join(name for name in MEASURES if name in USUAL)
Measures = Annotated[
    str,
    typer.Option(
        metavar="A,B",
        help=f"Measures, or all; listed above. Default: {_USUAL}.",
        autocompletion=completion.metrics,
    ),
]
Video = Annotated[
    Literal["stdnet", "rcrnet"] | None,
    typer.Option(
        help="Score film sets as STDNet's paper does (clip by clip, without their first and last "
        "frames) or as RCRNet's (frame by frame)."
    ),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Fail where a map is missing, damaged, resized or converted."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes. Default: by the number of images, up to every core."),
]
FitMasks = Annotated[
    bool, typer.Option("--fit-masks", help="Resize ground truth of another size to its photo.")
]
Common = Annotated[
    bool, typer.Option("--common", help="Score only the images that all methods have.")
]
Out = Annotated[
    list[Path] | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write a report: .json .csv .xlsx .html .md .tex, or curves as .pdf .svg .png; "
        "repeatable.",
    ),
]


_ALIASES: Final = {
    **dict.fromkeys(("maxf", "meanf", "avgf", "adpf", "fm"), "f"),
    **dict.fromkeys(("maxe", "meane", "adpe", "em"), "e"),
    **dict.fromkeys(("jaccard", "j"), "iou"),
    "sm": "s",
    "wfm": "wf",
}


def evaluate(
    maps: Maps,
    gt: Truth = None,
    metrics: Measures = _USUAL,
    video: Video = None,
    strict: Strict = False,
    common: Common = False,
    fit_masks: FitMasks = False,
    out: Out = None,
    workers: Workers = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Score saliency maps against ground truth and print the table; * is the best of a set.

    [bold]sod eval maps/ECSSD data/ECSSD[/] scores one folder; folders of several sets also work.

    [bold]sod eval --gt data ours=maps/a theirs=maps/b -o report.html[/] compares methods.

    A method without maps for some images gets no *; --common scores only images that all have.

    Measures: mae, mean absolute error (Perazzi, CVPR 2012). f, F-measure (Achanta, CVPR 2009). wf,
    weighted F-measure (Margolin, CVPR 2014). s, structure measure (Fan, ICCV 2017). e,
    enhanced-alignment measure (Fan, IJCAI 2018). mba, mean boundary accuracy (Cheng, CVPR 2020).
    iou and dice, overlap of the map cut at half (Jaccard 1901, Dice 1945). ber, balanced error
    rate of it (Vicente, ECCV 2016).
    """
    folders = list(maps)
    truth = gt or _last(folders)
    methods = _methods(folders)
    words = metrics.lower().replace(",", " ").split()
    which = ALL if words == ["all"] else frozenset(_ALIASES.get(word, word) for word in words)
    from sodcli.benchmark import evaluate as work
    from sodcli.benchmark.report.files import check_reports, write_reports
    from sodcli.metrics.video import PROTOCOLS

    reports = out or []
    check_reports(reports, which)
    film = PROTOCOLS[video] if video else None
    planned = work.plan(methods, truth, which=which, film=film, fit_masks=fit_masks)
    if film is None and any(one.film for one in planned.sets):
        ui.note("films are scored frame by frame; --video scores them as papers do", quiet=quiet)
    with ui.progress("images", planned.images, quiet=quiet) as advance:
        count = workers or workers_for(planned)
        found = work.run(planned, strict=strict, common=common, workers=count, advance=advance)
    for line in found.warnings():
        ui.warn(line)
    try:
        show(found, as_json=json)
    finally:  # even if the reader of the table has closed the pipe
        for path in write_reports(found, reports):
            ui.note(f"wrote {path}", quiet=quiet)
    if found.damaged:
        raise typer.Exit(BatchError.exit_code)


def _last(folders: list[str]) -> Path:
    """Remove the ground truth from the end of the arguments and return it."""
    if len(folders) < 2:
        raise UsageError("where is the ground truth? sod eval MAPS GT, or --gt GT")
    return user_path(folders.pop())


def _methods(folders: list[str]) -> dict[str, Path]:
    """Return each method's folder by its given name, or the name of the folder.

    Folders that share a name, as in ``maps/a/ECSSD maps/b/ECSSD``, go by that of their parent.
    """
    given = [_named(text) for text in folders]
    real = [Path(os.path.realpath(path)) for _, path in given]
    shared = Counter(folder.name for folder in set(real))
    methods: dict[str, Path] = {}
    for (name, path), folder in zip(given, real, strict=True):
        called = name or (folder.parent if shared[folder.name] > 1 else folder).name
        if called in methods:
            raise UsageError(f"two methods are called {called!r}: give names, as in a=FOLDER")
        methods[called] = path
    return methods


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or Path(text).is_dir():
        name, folder = "", text
    return name, user_path(folder)


def workers_for(planned: "EvaluationPlan") -> int:
    """Return the number of processes; starting one takes as long as about 100 images."""
    return max(1, min(os.cpu_count() or 1, planned.images * len(planned.maps) // 300))


def show(found: "Evaluation", *, as_json: bool) -> None:
    """Print the table, or everything as JSON."""
    from sodcli.benchmark.report.tables import as_dict, counted, is_best, rounded

    if as_json:
        ui.print_json(as_dict(found))
        return
    rows = [
        [row.dataset, row.method, counted(row)]
        + [rounded(row, name) + "*" * is_best(found, row, name) for name in found.names]
        for row in found.rows
    ]
    ui.print_table(["set", "method", "images", *found.names], rows)
