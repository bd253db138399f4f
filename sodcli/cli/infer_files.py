"""What ``sod infer`` does with pictures and films, alone or with other processes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from sodcli.cli import ui
from sodcli.cli.infer_report import Row, finish, print_plan, put_summary, tell
from sodcli.cli.infer_style import Style
from sodcli.cli.loading import join_crew
from sodcli.errors import UsageError
from sodcli.process import Crew, rank
from sodcli.text import did_you_mean

if TYPE_CHECKING:
    from sodcli.infer.films import FilmOutcome, FilmSettings, Position
    from sodcli.infer.photos import Outcome, Settings
    from sodcli.io.sinks import Job
    from sodcli.runtime.predictor import Predictor


def check_codec(codec: str) -> None:
    """Refuse a codec that does not exist, whether or not there is a film.

    Raises:
        UsageError: If there is none of that name.
    """
    from sodcli.io.films.formats import CODEC_NAMES

    if codec not in CODEC_NAMES:
        known = ", ".join(CODEC_NAMES)
        raise UsageError(
            f"--codec {codec}: no such codec.{did_you_mean(codec, CODEC_NAMES)} Known: {known}"
        )


def run_films(
    jobs: "list[Job]",
    predictor: "Predictor",
    settings: "Settings",
    films: "FilmSettings",
    report: "Callable[[Outcome], None]",
    *,
    quiet: bool,
) -> "list[Outcome]":
    """Work through the films, with a bar for the one in hand and a line for each that is done."""
    from sodcli.infer.films import FilmOutcome, Watcher, infer_films

    with ui.film_progress(quiet=quiet) as move:

        def at(position: "Position") -> None:
            move(position.name, position.done, position.expected, position.seconds)

        def tell(outcome: "Outcome") -> None:
            if isinstance(outcome, FilmOutcome):
                if outcome.warning:
                    ui.warn(outcome.warning)
                ui.note(_line(outcome), quiet=quiet)
            report(outcome)

        watcher = Watcher(tell, at, lambda text: ui.note(text, quiet=quiet))
        return infer_films(jobs, predictor, settings, films, watcher)


def _line(outcome: "FilmOutcome") -> str:
    count = "1 frame" if outcome.frames == 1 else f"{outcome.frames} frames"
    rate = outcome.frames / outcome.took_s
    return f"{count} in {outcome.took_s:.1f} s, {rate:.1f} frames/s: {outcome.job.output}"


_FRAMES: Final = 1000  # of a film, before anybody has looked


@dataclass(frozen=True, slots=True)
class FileRun:
    """What the command line asks of pictures and films; the names are those of the options."""

    sources: list[str]
    out: str | None
    form: str | None
    recursive: bool
    batch: str
    compress: int | None
    max_pixels: int
    overwrite: bool
    fail_fast: bool
    start: float
    frames: int | None
    audio: bool
    codec: str
    dry_run: bool
    json: bool
    quiet: bool
    verbose: bool


def infer_files(
    run: FileRun,
    style: Style,
    device: str,
    load: "Callable[[str, bool, int], tuple[Predictor, str]]",
) -> None:
    """Write the result of every input; the processes of ``torchrun`` share them out.

    Args:
        run: What to do.
        style: How results look.
        device: As typed.
        load: Loads the network onto a device, silently or not, for so many pictures; returns it
            and says where it runs.

    Raises:
        SodError: If nothing can be done at all.
        typer.Exit: With the code that failures of some inputs call for.
    """
    jobs = _plan(run, style)
    skips = run.verbose or len(jobs) == 1  # otherwise their number says it
    if run.dry_run:
        print_plan(jobs, run.overwrite, quiet=run.quiet, as_json=run.json, skips=skips)
        return
    from sodcli.infer.photos import sift

    settings = _settings(run, style)
    about: dict[str, str | None] = {"model": None, "device": None}
    with join_crew(device) as (crew, own):
        known, todo = sift(jobs, settings)
        crew.gather([])  # nobody writes before all have looked at what is there
        quiet = run.quiet or crew.rank > 0
        report = partial(tell, quiet=quiet, as_json=run.json, skips=skips)
        outcomes = known if crew.rank == 0 else []
        for outcome in outcomes:
            report(outcome)
        share, begin = _share(todo, crew), time.perf_counter()
        if any(share):
            predictor, where = load(own, quiet, _pictures(todo))
            about, begin = {"model": predictor.spec.name, "device": where}, time.perf_counter()
            outcomes += _work(share, predictor, run, style, settings, report, quiet=quiet)
        lines = crew.gather([Row.of(outcome).line() for outcome in outcomes])
    if crew.rank > 0:
        return
    rows = [Row.parse(line) for line in lines]
    took = time.perf_counter() - begin if run.verbose or crew.world > 1 else None
    if run.json:
        put_summary(rows, about)
    finish(rows, jobs, took, quiet=run.quiet)


def _plan(run: FileRun, style: Style) -> "list[Job]":
    from sodcli.io.sinks import plan_outputs
    from sodcli.io.sources import find_inputs

    warn = None if run.quiet or rank() > 0 else ui.warn
    inputs = find_inputs(run.sources, recursive=run.recursive, out=run.out, warn=warn)
    jobs = plan_outputs(
        inputs,
        style.tag,
        run.out,
        alpha=style.alpha,
        overwrite=run.overwrite,
        codec=run.codec,
        form=run.form,
    )
    if run.json and any(job.target is None for job in jobs):
        raise UsageError(
            "the picture and --json cannot both go to standard output; name a file: -o FILE"
        )
    return jobs


def _pictures(jobs: "list[Job]") -> int:
    """Return about how many pictures the network will see."""
    return sum(1 if job.input.kind == "picture" else _FRAMES for job in jobs)


def _share(jobs: "list[Job]", crew: Crew) -> "tuple[list[Job], list[Job]]":
    """Return this process's pictures and films."""
    pictures = [job for job in jobs if job.input.kind == "picture"]
    films = [job for job in jobs if job.input.kind == "film"]
    own = slice(crew.rank, None, crew.world)
    return pictures[own], films[own]


def _work(
    jobs: "tuple[list[Job], list[Job]]",
    predictor: "Predictor",
    run: FileRun,
    style: Style,
    settings: "Settings",
    report: "Callable[[Outcome], None]",
    *,
    quiet: bool,
) -> "list[Outcome]":
    """Do the pictures first, then film by film."""
    from sodcli.infer.photos import infer

    pictures, moving = jobs
    with ui.progress("pictures", len(pictures), quiet=quiet or len(pictures) < 2) as advance:

        def count(outcome: "Outcome") -> None:
            advance(1)
            report(outcome)

        outcomes = infer(pictures, predictor, settings, count)
    failed = any(outcome.error for outcome in outcomes)
    if not moving or (failed and run.fail_fast):
        return outcomes
    from sodcli.infer.films import FilmSettings  # and all that reads films

    films = FilmSettings(run.start, run.frames, run.audio, run.codec, style.behind)
    return outcomes + run_films(moving, predictor, settings, films, report, quiet=quiet)


def _settings(run: FileRun, style: Style) -> "Settings":
    from sodcli.infer.photos import Settings

    return Settings(
        style.kind,
        style.look,
        style.threshold,
        None if run.batch == "auto" else int(run.batch),
        run.max_pixels,
        run.overwrite,
        run.fail_fast,
        run.compress,
    )
