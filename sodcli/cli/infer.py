"""``sod infer``: from sources to outputs."""

import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sodcli.cli import infer_options as opt
from sodcli.cli import options, ui
from sodcli.cli.infer_camera import CameraRun, Style, infer_camera
from sodcli.cli.infer_film import check_codec, facts, first_picture, run_films
from sodcli.cli.loading import load_and_tell
from sodcli.errors import BatchError, SodError, UsageError
from sodcli.registry import default_registry, did_you_mean

if TYPE_CHECKING:
    from sodcli.imaging.compose import Look
    from sodcli.io.sinks import Job
    from sodcli.pipelines.film import FilmSettings
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
    start: opt.Start = 0.0,
    frames: opt.Frames = None,
    audio: opt.Audio = True,
    codec: opt.Codec = "auto",
    show: opt.Show = None,
    show_fps: opt.ShowFps = False,
    offline: options.Offline = False,
    device: options.Device = "auto",
    half: options.Half = False,
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    traceback: options.Traceback = False,
) -> None:
    """Find the subject of each picture or film and write it the way you ask for.

    [bold]sod infer photo.jpg[/] writes photo_rgba.png beside it and prints that path.

    [bold]sod infer shop/ -t white.jpg[/] puts the subject of every picture on another one.

    [bold]sod infer clip.mp4 -t blur[/] writes clip_blur.mp4, with its sound. A cut-out film is a
    .mov with real transparency; -o clip.webm and -o FOLDER/ (PNG frames) have it, too.

    [bold]sod infer 0 -t blur[/] shows the first camera in a window; -o records it.
    """
    from sodcli.io.camera import camera_number
    from sodcli.io.sinks import plan_outputs
    from sodcli.io.sources import find_inputs

    check_codec(codec)
    number = camera_number(sources)
    look, label, behind = _look(kind, refine, max_pixels)
    if model is not None:
        default_registry().model(model)  # before PyTorch, so that a typo is told at once
    ready = partial(_load, model, weights, device, half, size, threads, offline, quiet, verbose)
    if number is not None:
        style = Style(kind, look, label, behind, threshold)
        run = CameraRun(number, out, codec, overwrite, frames, show, show_fps, dry_run, json, quiet)
        infer_camera(run, style, ready)
        return
    inputs = find_inputs(sources, recursive=recursive)
    jobs = plan_outputs(inputs, label, out, alpha=kind == "rgba", overwrite=overwrite, codec=codec)
    if dry_run:
        _print_plan(jobs, overwrite, as_json=json)
        return
    from sodcli.pipelines.film import FilmSettings
    from sodcli.pipelines.infer import Settings

    predictor, where = ready()
    kind = "picture" if look.background is not None else kind
    settings = Settings(kind, look, threshold, batch, max_pixels, overwrite, fail_fast)
    films = FilmSettings(start, frames, audio, codec, behind)
    begin = time.perf_counter()
    outcomes = _run(jobs, predictor, settings, films, quiet=quiet, as_json=json)
    if verbose:
        ui.note(f"{len(outcomes)} inputs in {time.perf_counter() - begin:.2f} s")
    if json:
        ui.put_json({"model": predictor.spec.name, "device": where, **_summary(outcomes)})
    _finish(outcomes, len(jobs))


def _load(
    model: str | None,
    weights: str | None,
    device: str,
    half: bool,
    size: int | None,
    threads: int | None,
    offline: bool,
    quiet: bool,
    verbose: bool,
) -> "tuple[Predictor, str]":
    """Load the network, say so, and return it and where it runs."""
    from sodcli.pipelines.device import choose_device, set_threads
    from sodcli.pipelines.predictor import load

    set_threads(threads)
    get = partial(load, model, weights=weights, half=half, size=size, offline=offline)
    return load_and_tell(get, choose_device(device), half, quiet=quiet, verbose=verbose)


def _look(kind: str, refine: opt.Refine, max_pixels: int) -> "tuple[Look, str, Path | None]":
    """Return how outputs look, the word that names them in file names, and the film behind."""
    from sodcli.imaging.compose import Look, names

    known = [name for name in names() if name != "picture"]
    if kind in known:
        return Look(refine=refine == "auto"), kind, None
    path = Path(kind).expanduser()
    if not path.exists():
        raise UsageError(
            f"--type {kind}: no output type and no picture or film of that name."
            f"{did_you_mean(kind, known)} Known: {', '.join(known)},"
            " or the path of a picture or film."
        )
    background, film = first_picture(path, max_pixels)
    return Look(background=background, refine=refine == "auto"), path.stem, film


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
    jobs: "list[Job]",
    predictor: "Predictor",
    settings: "Settings",
    films: "FilmSettings",
    *,
    quiet: bool,
    as_json: bool,
) -> "list[Outcome]":
    """Do the pictures first, then film by film."""
    from sodcli.pipelines.infer import infer as work

    def report(outcome: "Outcome") -> None:
        if outcome.status == "failed":
            ui.error(str(outcome.error))
        elif outcome.status == "skipped":
            ui.note(f"{outcome.job.output}: exists, skipped (--overwrite replaces)", quiet=quiet)
        elif outcome.job.target is not None and not as_json:
            ui.put(outcome.job.output)

    pictures = [job for job in jobs if job.input.kind == "picture"]
    moving = [job for job in jobs if job.input.kind == "film"]
    with ui.progress("pictures", len(pictures), quiet=quiet or len(pictures) < 2) as advance:

        def count(outcome: "Outcome") -> None:
            advance(1)
            report(outcome)

        outcomes = work(pictures, predictor, settings, count)
    if settings.fail_fast and len(outcomes) < len(pictures):
        return outcomes
    return outcomes + run_films(moving, predictor, settings, films, report, quiet=quiet)


def _summary(outcomes: "list[Outcome]") -> dict[str, Any]:
    counts = Counter(outcome.status for outcome in outcomes)
    rows = [
        {
            "input": outcome.job.source,
            "output": outcome.job.output,
            "status": outcome.status,
            "error": str(outcome.error) if outcome.error else None,
            **facts(outcome),
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
