"""``sod infer``: from sources to outputs."""

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sodcli.cli import infer_options as opt
from sodcli.cli import options, ui
from sodcli.errors import BatchError, SodError, UsageError
from sodcli.registry import default_registry, did_you_mean

if TYPE_CHECKING:
    from sodcli.imaging.compose import Look
    from sodcli.io.sinks import Job
    from sodcli.pipelines.infer import Outcome, Settings
    from sodcli.pipelines.predictor import Predictor


def infer(
    sources: opt.Sources,
    kind: opt.Kind = "rgba",
    out: opt.Out = None,
    model: options.Model = None,
    weights: options.Weights = None,
    size: opt.Size = None,
    batch: opt.Batch = 1,
    threshold: opt.Threshold = None,
    refine: opt.Refine = "auto",
    recursive: opt.Recursive = False,
    overwrite: opt.Overwrite = False,
    fail_fast: opt.FailFast = False,
    dry_run: opt.DryRun = False,
    max_pixels: opt.MaxPixels = 178_956_970,
    device: options.Device = "auto",
    half: options.Half = False,
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    traceback: options.Traceback = False,
) -> None:
    """Find the subject of each picture and write it the way you ask for.

    [bold]sod infer photo.jpg[/] writes photo_rgba.png beside it and prints that path.

    [bold]sod infer shop/ -t white.jpg[/] puts the subject of every picture on another one.
    """
    from sodcli.io.sinks import plan_outputs
    from sodcli.io.sources import find_inputs

    look, label = _look(kind, refine)
    inputs = find_inputs(sources, recursive=recursive)
    jobs = plan_outputs(inputs, label, out, alpha=kind == "rgba", overwrite=overwrite)
    if dry_run:
        _print_plan(jobs, overwrite, as_json=json)
        return
    if model is not None:
        default_registry().model(model)  # before PyTorch, so that a typo is told at once
    from sodcli.pipelines.device import choose_device, describe_device, set_threads
    from sodcli.pipelines.infer import Settings
    from sodcli.pipelines.predictor import load

    set_threads(threads)
    predictor = load(model, weights=weights, device=device, half=half, size=size)
    where = describe_device(choose_device(device), half)
    ui.note(f"{where}, model {predictor.spec.name}", quiet=quiet)
    kind = "picture" if look.background is not None else kind
    settings = Settings(kind, look, threshold, batch, max_pixels, overwrite, fail_fast)
    if verbose:
        ui.note(f"weights {predictor.weights}, seen at {'x'.join(map(str, predictor.size_hw))}")
    start = time.perf_counter()
    outcomes = _run(jobs, predictor, settings, quiet=quiet, as_json=json)
    if verbose:
        ui.note(f"{len(outcomes)} pictures in {time.perf_counter() - start:.2f} s")
    if json:
        ui.put_json({"model": predictor.spec.name, "device": where, **_summary(outcomes)})
    _finish(outcomes, len(jobs))


def _look(kind: str, refine: opt.Refine) -> "tuple[Look, str]":
    """Return how outputs look, and the word that names them in file names."""
    from sodcli.imaging.compose import Look, names
    from sodcli.io.pictures import read_picture

    known = [name for name in names() if name != "picture"]
    if kind in known:
        return Look(refine=refine == "auto"), kind
    path = Path(kind).expanduser()
    if not path.exists():
        raise UsageError(
            f"--type {kind}: no output type and no picture of that name."
            f"{did_you_mean(kind, known)} Known: {', '.join(known)}, or the path of a picture."
        )
    return Look(background=read_picture(path).rgb, refine=refine == "auto"), path.stem


def _print_plan(jobs: "list[Job]", overwrite: bool, *, as_json: bool) -> None:
    rows = [
        {
            "input": job.source,
            "output": job.output,
            "status": "skip" if job.exists() and not overwrite else "write",
        }
        for job in jobs
    ]
    if as_json:
        ui.put_json({"results": rows})
        return
    for row in rows:
        if row["status"] == "skip":
            ui.note(f"{row['output']}: exists, would be skipped")
        else:
            ui.put(row["output"])


def _run(
    jobs: "list[Job]", predictor: "Predictor", settings: "Settings", *, quiet: bool, as_json: bool
) -> "list[Outcome]":
    from sodcli.pipelines.infer import infer as work

    with ui.progress("pictures", len(jobs), quiet=quiet or len(jobs) == 1) as advance:

        def report(outcome: "Outcome") -> None:
            advance(1)
            if outcome.status == "failed":
                ui.error(str(outcome.error))
            elif outcome.status == "skipped":
                ui.note(
                    f"{outcome.job.output}: exists, skipped (--overwrite replaces)", quiet=quiet
                )
            elif outcome.job.target is not None and not as_json:
                ui.put(outcome.job.output)

        return work(jobs, predictor, settings, report)


def _summary(outcomes: "list[Outcome]") -> dict[str, Any]:
    counts = Counter(outcome.status for outcome in outcomes)
    rows = [
        {
            "input": outcome.job.source,
            "output": outcome.job.output,
            "status": outcome.status,
            "error": str(outcome.error) if outcome.error else None,
        }
        for outcome in outcomes
    ]
    return {"results": rows, **{word: counts[word] for word in ("done", "skipped", "failed")}}


def _finish(outcomes: "list[Outcome]", jobs: int) -> None:
    """End with the exit code that the outcomes call for; each error is already on the screen."""
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if failed and jobs == 1:
        raise typer.Exit(failed[0].exit_code)
    if failed and len(outcomes) < jobs:
        raise typer.Exit(SodError.exit_code)
    if failed:
        ui.warn(f"{len(failed)} of {jobs} inputs failed (listed above)")
        raise typer.Exit(BatchError.exit_code)
