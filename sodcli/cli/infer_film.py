"""What ``sod infer`` shows of films."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sodcli.cli import ui
from sodcli.errors import UsageError
from sodcli.registry import did_you_mean

if TYPE_CHECKING:
    from sodcli.io.sinks import Job
    from sodcli.pipelines.film import FilmOutcome, FilmSettings, Position
    from sodcli.pipelines.infer import Outcome, Settings
    from sodcli.pipelines.predictor import Predictor


def check_codec(codec: str) -> None:
    """Refuse a codec that does not exist, whether or not there is a film.

    Raises:
        UsageError: If there is none of that name.
    """
    from sodcli.io.film_formats import CODEC_NAMES

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
    from sodcli.pipelines.film import FilmOutcome, Watcher, infer_films

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
