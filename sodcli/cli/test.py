"""``sod test``: saliency maps of benchmark sets."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sodcli.cli import options, ui
from sodcli.cli.loading import NetworkOptions, join_group
from sodcli.errors import BatchError
from sodcli.process import ProcessGroup, rank
from sodcli.registry import default_registry
from sodcli.text import plural

if TYPE_CHECKING:
    from sodcli.benchmark.maps import MapOutcome, MapRecord, MapRequest
    from sodcli.benchmark.results import Evaluation
    from sodcli.data.benchmarks import BenchmarkSet
    from sodcli.registry import ModelSpec
    from sodcli.runtime.predictor import Predictor

Data = Annotated[
    Path,
    typer.Option(metavar="ROOT", help="A folder of data sets, or a data set itself."),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Maps go to DIR/SET, those of a film to DIR/SET/SEQUENCE.",
    ),
]
Sets = Annotated[
    str | None,
    typer.Option(metavar="A+B", help="Data sets, such as ECSSD+PASCAL-S. Default: all of ROOT."),
]
Protocol = Annotated[
    Literal["paper", "infer"],
    typer.Option(
        help="paper: sizes, stretching, rounding and clips as published. infer: as sod infer does."
    ),
]
Backend = Annotated[
    Literal["auto", "torch", "onnx", "openvino"],
    typer.Option(
        help="What runs the network. auto: the fastest that is installed; its maps differ from "
        "PyTorch's by less than a grey level.",
        rich_help_panel=options.NETWORK,
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue a run: keep maps that are complete.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing maps.")]
Score = Annotated[bool, typer.Option("--eval", help="Also print the table of scores.")]


def set_names(sets: str | None) -> list[str]:
    """Return the names in the value of ``--sets``."""
    return [name for name in re.split(r"[+,]", sets or "") if name]


def write_maps(
    data: Data,
    out: Out,
    sets: Sets = None,
    model: options.Model = None,
    weights: options.Weights = None,
    size: options.Size = None,
    protocol: Protocol = "paper",
    batch: options.Batch = 1,
    resume: Resume = False,
    overwrite: Overwrite = False,
    score: Score = False,
    offline: options.Offline = False,
    device: options.Device = "auto",
    half: options.Half = False,
    backend: Backend = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    traceback: options.Traceback = False,
) -> None:
    """Run a model over benchmark sets and write their saliency maps.

    [bold]sod test --data ROOT --sets ECSSD+PASCAL-S -o maps[/] writes maps/ECSSD/0001.png and so
    on: 8-bit grey, of the ground truth's size, in the protocol that the model was published with.
    --eval also prints the table of scores.

    [bold]torchrun --nproc-per-node 4 -m sodcli test ...[/] divides the pictures among processes.
    """
    network = NetworkOptions(
        model=model,
        weights=weights,
        half=half,
        size=size,
        threads=threads,
        offline=offline,
        backend=backend,
        verbose=verbose,
    )
    from sodcli.benchmark.maps import MapRequest
    from sodcli.runtime.model_source import require_maps

    leads = rank() == 0
    quiet = quiet or not leads
    require_maps(model, weights, default_registry())  # report a typo before loading data
    found = _find(data, sets, quiet=quiet)
    with join_group(device) as (group, own):
        predictor, _ = network.load(own if backend in ("auto", "torch") else device, quiet)
        request = MapRequest(out, protocol, batch, half, resume, overwrite)
        rows = _make(found, predictor, request, group, quiet=quiet)
    if leads:
        made = any(row.status != "failed" for row in rows)
        scores = score_maps(found, out, predictor.spec, quiet=quiet) if score and made else None
        report_maps(found, rows, out, predictor.spec.name, scores, as_json=json, quiet=quiet)


def _find(data: Path, sets: str | None, *, quiet: bool) -> "list[BenchmarkSet]":
    from sodcli.data.benchmarks import find_sets

    known = default_registry().datasets
    found = find_sets(data, set_names(sets), known)
    if sets is None:  # training sets in the same folder are tested only if they are named
        training = [spec for spec in known.values() if spec.part == "train"]
        found = [
            one for one in found if not any(spec.is_called(one.name) for spec in training)
        ] or found
    for remark in () if quiet else [remark for one in found for remark in one.remarks]:
        ui.warn(remark)
    return found


def _make(
    found: "list[BenchmarkSet]",
    predictor: "Predictor",
    request: "MapRequest",
    group: ProcessGroup,
    *,
    quiet: bool,
) -> "list[MapRecord]":
    from sodcli.benchmark.maps import make_maps

    share = -(-sum(one.pictures for one in found) // group.world_size)
    with ui.progress("maps", share, quiet=quiet) as advance:

        def report(outcome: "MapOutcome") -> None:
            advance(1)
            if outcome.error is not None:
                ui.error(str(outcome.error))

        return make_maps(found, predictor, request, group, report)


def score_maps(
    found: "list[BenchmarkSet]", out: Path, spec: "ModelSpec", *, quiet: bool
) -> "Evaluation":
    """Score the maps in ``out``; film sets by the video protocol of the model's paper."""
    from sodcli.benchmark import evaluate as work
    from sodcli.cli.evaluate import workers_for
    from sodcli.metrics.video import PROTOCOLS

    by_film = PROTOCOLS["rcrnet" if spec.arch == "rcrnet" else "stdnet"]
    film = by_film if any(one.film for one in found) else None
    if film:
        ui.note(f"films are scored by sod eval --video {film.name}", quiet=quiet)
    planned = work.plan({spec.name: out}, found, film=film)
    with ui.progress("images", planned.images, quiet=quiet) as advance:
        return work.run(planned, workers=workers_for(planned), advance=advance)


def report_maps(
    found: "list[BenchmarkSet]",
    rows: "Sequence[MapRecord]",
    out: Path,
    model: str,
    scores: "Evaluation | None",
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the folders of the maps and their scores.

    Exit with code 3 if pictures failed, or files for the scores are damaged.
    """
    from sodcli.benchmark.report.tables import as_dict
    from sodcli.cli.evaluate import show

    lines = _lines(found, rows, out)
    errors = [{"picture": row.picture, "error": row.error} for row in rows if row.error]
    if as_json:
        evaluation = {} if scores is None else {"evaluation": as_dict(scores)}
        ui.print_json({"model": model, "sets": lines, "errors": errors, **evaluation})
    else:
        for line in lines:
            count = f"{plural(line['done'], 'map')} written, {line['skipped']} there already"
            ui.note(f"{line['set']}: {count}", quiet=quiet)
            ui.print_line(line["output"])
        for fault in scores.faults() if scores else []:
            ui.warn(fault)
        if scores:
            show(scores, as_json=False)
    if errors:
        ui.warn(f"{len(errors)} of {len(rows)} pictures failed (listed above)")
    if errors or (scores and scores.damaged):
        raise typer.Exit(BatchError.exit_code)


def _lines(
    found: "list[BenchmarkSet]", rows: "Sequence[MapRecord]", out: Path
) -> list[dict[str, Any]]:
    counts = Counter((row.set, row.status) for row in rows)
    return [
        {
            "set": one.name,
            "film": one.film,
            "pictures": one.pictures,
            "output": str(out / one.name),
            **{word: counts[one.name, word] for word in ("done", "skipped", "failed")},
        }
        for one in found
    ]
