"""``sod test``: saliency maps of benchmark sets."""

from pathlib import Path
from typing import TYPE_CHECKING

from sodcli.cli import infer_options, options, ui
from sodcli.cli import test_options as opt
from sodcli.cli.loading import Loader
from sodcli.cli.team import join_crew
from sodcli.cli.test_report import score_maps, tell
from sodcli.pipelines.crew import Crew
from sodcli.registry import default_registry
from sodcli.training.launcher import rank

if TYPE_CHECKING:
    from sodcli.data.benchmark import BenchmarkSet
    from sodcli.pipelines.predictor import Predictor
    from sodcli.pipelines.testrun import Order, Row
    from sodcli.pipelines.testset import Outcome


def write_maps(
    data: opt.Data,
    out: opt.Out,
    sets: opt.Sets = None,
    model: options.Model = None,
    weights: options.Weights = None,
    size: infer_options.Size = None,
    protocol: opt.Protocol = "paper",
    batch: infer_options.Batch = 1,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    score: opt.Score = False,
    offline: options.Offline = False,
    device: options.Device = "auto",
    half: options.Half = False,
    backend: opt.Backend = "torch",
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    traceback: options.Traceback = False,
) -> None:
    """Run a model over benchmark sets and write their saliency maps.

    [bold]sod test --data ROOT --sets ECSSD+PASCAL-S -o maps[/] writes maps/ECSSD/0001.png and so
    on: 8-bit grey, of the ground truth's size, in the protocol that the model was published with.
    --eval goes on to the table of scores.

    [bold]torchrun --nproc-per-node 4 -m sodcli test ...[/] shares the pictures out.
    """
    load = options.pick(Loader, locals(), compiled=False)
    from sodcli.pipelines.blueprint import require_maps
    from sodcli.pipelines.testrun import Order

    leads = rank() == 0
    quiet = quiet or not leads
    require_maps(model, weights, default_registry())  # a typo is told at once
    found = _find(data, sets, quiet=quiet)
    with join_crew(device) as (crew, own):
        predictor, _ = load(own if backend == "torch" else device, quiet)
        order = Order(out, protocol, batch, half, resume, overwrite)
        rows = _make(found, predictor, order, crew, quiet=quiet)
    if leads:
        scores = score_maps(found, out, predictor.spec, quiet=quiet) if score else None
        tell(found, rows, out, predictor.spec.name, scores, as_json=json, quiet=quiet)


def _find(data: Path, sets: str | None, *, quiet: bool) -> "list[BenchmarkSet]":
    from sodcli.data.benchmarks import find_sets

    found = find_sets(data, opt.set_names(sets), default_registry().datasets)
    for remark in () if quiet else [remark for one in found for remark in one.remarks]:
        ui.warn(remark)
    return found


def _make(
    found: "list[BenchmarkSet]",
    predictor: "Predictor",
    order: "Order",
    crew: Crew,
    *,
    quiet: bool,
) -> "list[Row]":
    from sodcli.pipelines.testrun import make_maps

    share = -(-sum(one.pictures for one in found) // crew.world)
    with ui.progress("maps", share, quiet=quiet) as advance:

        def report(outcome: "Outcome") -> None:
            advance(1)
            if outcome.error is not None:
                ui.error(str(outcome.error))

        return make_maps(found, predictor, order, crew, report)
