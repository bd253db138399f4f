"""What ``sod infer`` does with pictures and films, alone or with other processes."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import typer

from sodcli.cli import ui
from sodcli.cli.infer_checks import check_options
from sodcli.cli.loading import NetworkOptions, join_group
from sodcli.errors import BatchError, SodError
from sodcli.files import user_path
from sodcli.process import ProcessGroup, rank
from sodcli.registry import default_registry
from sodcli.text import display_name, plural

if TYPE_CHECKING:
    from sodcli.infer.films import FilmOutcome, Position
    from sodcli.infer.photos import Outcome
    from sodcli.io.settings import InferSettings
    from sodcli.io.sinks import Job
    from sodcli.runtime.predictor import Predictor

_BETTER: Final = "inspyrenet"  # the model to try where the default one fails
_OTHERWISE: Final = "made with other settings"
_FRAMES: Final = 1000  # assumed per film before any is opened
_STATUSES: Final = ("done", "skipped", "failed", "not begun", "to write", "to skip", "to fail")


def infer_files(settings: "InferSettings", network: NetworkOptions, device: str) -> None:
    """Write the results of every input; the processes of ``torchrun`` share them out.

    Args:
        settings: The run's settings.
        network: Which network to load.
        device: As typed.

    Raises:
        SodError: If nothing can be done at all.
        typer.Exit: If some results failed: with 3, with 1 if that ended the run early, or with the
            code of the error if there is one result only.
    """
    jobs = _plan(settings)
    skips = settings.verbose or len(jobs) == 1  # otherwise only their number is printed
    if settings.dry_run:
        if rank() == 0:
            _print_plan(jobs, settings, skips=skips)
        return
    from sodcli.infer.photos import sift

    about: dict[str, str | None] = {"model": None, "device": None}
    with join_group(device) as (group, own):
        known, todo = sift(jobs, settings)
        group.gather([])  # no process writes before all have checked what exists
        quiet = settings.quiet or group.rank > 0
        report = partial(_report, quiet=quiet, as_json=settings.json, skips=skips)
        outcomes = known if group.rank == 0 else []
        for outcome in outcomes:
            report(outcome)
        share, begin = _share(todo, group), time.perf_counter()
        if any(share):
            predictor = None
            if settings.mask is None:
                predictor, where = network.load(own, quiet, _pictures(todo))
                about = {"model": predictor.spec.name, "device": where}
            begin = time.perf_counter()
            outcomes += _work(share, predictor, settings, report, quiet=quiet)
        lines = group.gather([OutcomeRow.of(outcome).line() for outcome in outcomes])
    if group.rank > 0:
        return
    rows = [OutcomeRow.parse(line) for line in lines]
    _write_sheet(rows, settings)
    if network.model is None and network.weights is None and not network.offline:
        _suggest_weights(rows, quiet=settings.quiet)
    took = time.perf_counter() - begin if settings.verbose or group.world_size > 1 else None
    if settings.json:
        _print_document(rows, about)
    _finish(rows, jobs, took, quiet=settings.quiet)


def _plan(settings: "InferSettings") -> "list[Job]":
    from sodcli.io.sinks import plan_outputs
    from sodcli.io.sources import find_inputs, identify_stdin

    warn = None if settings.quiet or rank() > 0 else ui.warn
    inputs = find_inputs(
        settings.sources, recursive=settings.recursive, out=settings.out, warn=warn
    )
    jobs = plan_outputs(identify_stdin(inputs), settings)
    if any(job.target is None for job in jobs):
        ui.check_stdout(jobs[0].input.kind, as_json=settings.json)
    check_options(settings, jobs)
    return jobs


def _write_sheet(rows: "Sequence[OutcomeRow]", settings: "InferSettings") -> None:
    """Write the page of ``--report``, or print that there is no photo to show."""
    if settings.report is None:
        return
    pages: dict[str, list[OutcomeRow]] = {}
    for row in rows:
        if row.preview is not None:
            pages.setdefault(row.about["input"], []).append(row)
    if not pages:
        ui.note("no page: it shows photos, and there is none", quiet=settings.quiet)
        return
    from sodcli.infer.sheet import Entry, Preview, write_sheet

    entries = [
        Entry(
            source,
            tuple(row.about["output"] for row in same),
            same[0].about.get("certainty"),
            Preview(**(same[0].preview or {})),
        )
        for source, same in pages.items()
    ]
    write_sheet(user_path(settings.report), entries)
    ui.note(f"page: {display_name(settings.report)}", quiet=settings.quiet)


def _pictures(jobs: "list[Job]") -> int:
    """Return about how many pictures the network will see."""
    return sum(1 if job.input.kind == "picture" else _FRAMES for job in jobs)


def _share(jobs: "list[Job]", group: ProcessGroup) -> "tuple[list[Job], list[Job]]":
    """Return this process's pictures and films; the jobs of one input stay together."""
    from sodcli.infer.photos import by_input

    def own(kind: str) -> "list[Job]":
        inputs = by_input(job for job in jobs if job.input.kind == kind)
        return [job for each in group.share(inputs) for job in each]

    return own("picture"), own("film")


def _work(
    jobs: "tuple[list[Job], list[Job]]",
    predictor: "Predictor | None",
    settings: "InferSettings",
    report: "Callable[[Outcome], None]",
    *,
    quiet: bool,
) -> "list[Outcome]":
    """Process the pictures, then the films one by one."""
    from sodcli.infer.photos import ends_run, infer

    pictures, films = jobs
    with ui.progress("pictures", len(pictures), quiet=quiet or len(pictures) < 2) as advance:

        def count(outcome: "Outcome") -> None:
            advance(1)
            report(outcome)

        outcomes = infer(pictures, predictor, settings, count)
    ended = any(ends_run(outcome, settings) for outcome in outcomes)
    if not films or predictor is None or ended:
        return outcomes
    return outcomes + _work_on_films(films, predictor, settings, report, quiet=quiet)


def _work_on_films(
    jobs: "list[Job]",
    predictor: "Predictor",
    settings: "InferSettings",
    report: "Callable[[Outcome], None]",
    *,
    quiet: bool,
) -> "list[Outcome]":
    """Process the films, with a bar for the current one and a line for each that is done."""
    from sodcli.infer.films import FilmOutcome, Watcher, infer_films

    with ui.film_progress(quiet=quiet) as move:

        def at(position: "Position") -> None:
            move(position.name, position.done, position.expected, position.seconds)

        def report_film(outcome: "Outcome") -> None:
            if isinstance(outcome, FilmOutcome):
                if outcome.warning:
                    ui.warn(outcome.warning)
                ui.note(_film_line(outcome), quiet=quiet)
            report(outcome)

        watcher = Watcher(report_film, at, lambda text: ui.note(text, quiet=quiet))
        return infer_films(jobs, predictor, settings, watcher)


def _film_line(outcome: "FilmOutcome") -> str:
    rate = outcome.frames / outcome.took_s
    speed = f"{plural(outcome.frames, 'frame')} in {outcome.took_s:.1f} s, {rate:.1f} frames/s"
    return f"{speed}: {outcome.job.output}"


def _exists_text(output: str, *, other: bool) -> str:
    return f"{output}: exists, {_OTHERWISE}" if other else f"{output}: exists"


def _report(outcome: "Outcome", *, quiet: bool, as_json: bool, skips: bool) -> None:
    """Report one outcome as soon as it is known; a skipped one only if ``skips``."""
    if outcome.status == "failed":
        ui.error(str(outcome.error))
    elif outcome.status == "skipped":
        text = _exists_text(outcome.job.output, other=outcome.other_settings)
        ui.note(f"{text}, skipped (--overwrite replaces)", quiet=quiet or not skips)
    else:
        if outcome.remark is not None:
            ui.note(outcome.remark, quiet=quiet)
        if outcome.job.target is not None and not as_json:
            ui.print_line(outcome.job.output)


def _print_plan(jobs: "list[Job]", settings: "InferSettings", *, skips: bool) -> None:
    """Print the output of every input; of those to skip only if ``skips``.

    Raises:
        typer.Exit: If an input is missing or no picture; with the code of the run itself.
    """
    from sodcli.infer.photos import known_outcome

    rows: list[dict[str, Any]] = []
    codes = []
    for job in jobs:
        row = {"input": job.source, "output": job.output, "status": "write"}
        if (outcome := known_outcome(job, settings)) is not None:
            row |= {"status": "skip", **outcome.facts()}
            if outcome.error is not None:
                ui.error(str(outcome.error))
                row |= {"status": "fail", "error": str(outcome.error)}
                codes.append(outcome.error.exit_code)
        rows.append(row)
    if settings.json:
        ui.print_json({"results": rows})
    else:
        for row in rows:
            if row["status"] == "skip":
                text = _exists_text(row["output"], other="other_settings" in row)
                ui.note(f"{text}, would be skipped", quiet=settings.quiet or not skips)
            elif row["status"] == "write":
                ui.print_line(row["output"])
        if len(jobs) > 1:
            ui.note(_counted(jobs, rows, planned=True), quiet=settings.quiet)
    if codes:
        raise typer.Exit(codes[0] if len(jobs) == 1 else BatchError.exit_code)


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """One outcome in a form that can be sent between processes.

    Attributes:
        about: Its entry in the JSON document.
        exit_code: That of its error; 0 without one.
        preview: Small pictures for the page of ``--report``, by name.
    """

    about: dict[str, Any]
    exit_code: int
    preview: dict[str, str] | None = None

    @classmethod
    def of(cls, outcome: "Outcome") -> "OutcomeRow":
        """Return the row of an outcome."""
        error = outcome.error
        about = {
            "input": outcome.job.source,
            "output": outcome.job.output,
            "status": outcome.status,
            "error": str(error) if error else None,
            **outcome.facts(),
        }
        preview = None if outcome.preview is None else asdict(outcome.preview)
        return cls(about, error.exit_code if error else 0, preview)

    @classmethod
    def parse(cls, line: str) -> "OutcomeRow":
        """Return the row that :meth:`line` wrote."""
        return cls(*json.loads(line))

    def line(self) -> str:
        """Return the row as text."""
        return json.dumps([self.about, self.exit_code, self.preview])


def _suggest_weights(rows: Sequence[OutcomeRow], *, quiet: bool) -> None:
    """Name the command that fetches better weights, if the built-in ones found nothing certain."""
    from sodcli.infer.photos import NO_SUBJECT

    done = [row.about for row in rows if row.about["status"] == "done"]
    if all(about.get("certainty", 1) >= NO_SUBJECT for about in done):
        return
    from sodcli.fetch.catalogue import describe
    from sodcli.weights.cache import data_root

    registry = default_registry()
    item = describe(registry.weights[_BETTER], registry, data_root())
    if item.way == "download":
        steps = ["" if find_spec("torch") else "pip install torch"]
        steps += ["" if item.here else f"sod fetch {_BETTER}", f"add -m {_BETTER}"]
        ui.note(f"better weights may find more: {', then '.join(filter(None, steps))}", quiet=quiet)


def _print_document(rows: Sequence[OutcomeRow], about: Mapping[str, str | None]) -> None:
    """Print the run as one JSON document; ``about`` names the network, if one was needed."""
    counts = Counter(row.about["status"] for row in rows)
    totals = {word: counts[word] for word in ("done", "skipped", "failed")}
    ui.print_json({**about, "results": [row.about for row in rows], **totals})


def _finish(
    rows: Sequence[OutcomeRow], jobs: "Sequence[Job]", took: float | None, *, quiet: bool
) -> None:
    """Print the counts of results, and exit with a code if some failed.

    Args:
        rows: Of all inputs that were processed; their errors have been printed.
        jobs: All inputs.
        took: Duration of the work in seconds, if it is to be printed.
        quiet: Do not print the counts.

    Raises:
        typer.Exit: If any failed.
    """
    if len(jobs) > 1 or took is not None:
        time = "" if took is None else f" in {took:.2f} s"
        ui.note(_counted(jobs, [row.about for row in rows], time), quiet=quiet)
    failed = [row.exit_code for row in rows if row.exit_code]
    if failed and len(jobs) == 1:
        raise typer.Exit(failed[0])
    if failed and len(rows) < len(jobs):
        raise typer.Exit(SodError.exit_code)
    if failed:
        raise typer.Exit(BatchError.exit_code)


def _counted(
    jobs: "Sequence[Job]", rows: Sequence[dict[str, Any]], time: str = "", *, planned: bool = False
) -> str:
    """Return ``5 pictures and 2 films: 4 done, 3 failed``, or ``5 pictures, 10 results: ...``.

    Args:
        jobs: All jobs.
        rows: Entries in the JSON document of the jobs that were begun.
        time: Placed before the colon.
        planned: The rows say what would be done.
    """
    others = sum("other_settings" in row for row in rows)
    statuses = (f"to {row['status']}" if planned else row["status"] for row in rows)
    inputs = {id(job.input): job.input.kind for job in jobs}  # one may have several results
    kinds, counts = Counter(inputs.values()), Counter(statuses)
    counts["not begun"] = len(jobs) - len(rows)
    whole = " and ".join(plural(n, kind) for kind, n in sorted(kinds.items(), reverse=True))
    if len(jobs) > len(inputs):
        whole += f", {plural(len(jobs), 'result')}"
    skipped = counts["skipped"] + counts["to skip"]
    some = f"{others:,} of them " if others < skipped else ""
    notes = dict.fromkeys(("skipped", "to skip"), f" ({some}{_OTHERWISE})")
    parts = ", ".join(
        f"{counts[word]:,} {word}{notes.get(word, '') if others else ''}"
        for word in _STATUSES
        if counts[word]
    )
    hint = "; --overwrite replaces what exists" if counts["skipped"] or others else ""
    return f"{whole}{time}: {parts}{hint}"
