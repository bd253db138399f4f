"""What ``sod test`` says at its end."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sodcli.cli import ui
from sodcli.errors import BatchError

if TYPE_CHECKING:
    from sodcli.data.benchmark import BenchmarkSet
    from sodcli.pipelines.scoring.outcome import Evaluation
    from sodcli.pipelines.testrun import Row
    from sodcli.registry import ModelSpec


def score_maps(
    found: "list[BenchmarkSet]", out: Path, spec: "ModelSpec", *, quiet: bool
) -> "Evaluation":
    """Score the maps in ``out``; sequences of frames by the video protocol of the model's paper."""
    from sodcli.cli.evaluate import workers_for
    from sodcli.metrics.video import PROTOCOLS
    from sodcli.pipelines import evaluate as work

    by_film = PROTOCOLS["rcrnet" if spec.arch == "rcrnet" else "stdnet"]
    film = by_film if any(one.film for one in found) else None
    planned = work.plan({spec.name: out}, found, film=film)
    with ui.progress("images", planned.images, quiet=quiet) as advance:
        return work.run(planned, workers=workers_for(planned), advance=advance)


def tell(
    found: "list[BenchmarkSet]",
    rows: "Sequence[Row]",
    out: Path,
    model: str,
    scores: "Evaluation | None",
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print where the maps are, and their scores; end with exit code 3 if pictures failed."""
    lines = _lines(found, rows, out)
    errors = [{"picture": row.picture, "error": row.error} for row in rows if row.error]
    if as_json:
        _put_document({"model": model, "sets": lines, "errors": errors}, scores)
    else:
        for line in lines:
            count = f"{line['done']} maps written, {line['skipped']} were there"
            ui.note(f"{line['set']}: {count}", quiet=quiet)
            ui.put(line["output"])
        if scores is not None:
            _put_scores(scores)
    if errors:
        ui.warn(f"{len(errors)} of {len(rows)} pictures failed (listed above)")
        raise typer.Exit(BatchError.exit_code)


def _lines(found: "list[BenchmarkSet]", rows: "Sequence[Row]", out: Path) -> list[dict[str, Any]]:
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


def _put_document(document: dict[str, Any], scores: "Evaluation | None") -> None:
    from sodcli.pipelines.report.tables import as_dict

    ui.put_json(document if scores is None else {**document, "evaluation": as_dict(scores)})


def _put_scores(scores: "Evaluation") -> None:
    from sodcli.cli.evaluate import show

    for line in scores.faults():
        ui.warn(line)
    show(scores, as_json=False)
