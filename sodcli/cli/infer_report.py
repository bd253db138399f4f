"""What ``sod infer`` says of its inputs: lines, JSON and the exit code."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from sodcli.cli import ui
from sodcli.errors import BatchError, SodError

if TYPE_CHECKING:
    from sodcli.io.sinks import Job
    from sodcli.pipelines.infer import Outcome


def tell(outcome: "Outcome", *, quiet: bool, as_json: bool) -> None:
    """Say what became of one input as soon as it is known."""
    if outcome.status == "failed":
        ui.error(str(outcome.error))
    elif outcome.status == "skipped":
        ui.note(f"{outcome.job.output}: exists, skipped (--overwrite replaces)", quiet=quiet)
    elif outcome.job.target is not None and not as_json:
        ui.put(outcome.job.output)


def print_plan(jobs: "list[Job]", overwrite: bool, *, as_json: bool) -> None:
    """Say what would become of every input."""
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


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one input, in a form that can travel between processes.

    Attributes:
        about: As JSON says it.
        exit_code: Of its error; 0 without one.
    """

    about: dict[str, Any]
    exit_code: int

    @classmethod
    def of(cls, outcome: "Outcome") -> "Row":
        """Return the row of an outcome."""
        error = outcome.error
        about = {
            "input": outcome.job.source,
            "output": outcome.job.output,
            "status": outcome.status,
            "error": str(error) if error else None,
            **outcome.facts(),
        }
        return cls(about, error.exit_code if error else 0)

    @classmethod
    def parse(cls, line: str) -> "Row":
        """Return the row that :meth:`line` wrote."""
        return cls(*json.loads(line))

    def line(self) -> str:
        """Return the row as text."""
        return json.dumps([self.about, self.exit_code])


def put_summary(rows: Sequence[Row], model: str, device: str) -> None:
    """Print the run as one JSON document."""
    counts = Counter(row.about["status"] for row in rows)
    words = ("done", "skipped", "failed")
    results = {"results": [row.about for row in rows], **{word: counts[word] for word in words}}
    ui.put_json({"model": model, "device": device, **results})


def finish(rows: Sequence[Row], jobs: int) -> None:
    """End with the exit code that the rows call for; each error is on the screen already.

    Args:
        rows: Of all inputs that were looked at.
        jobs: Number of inputs.

    Raises:
        typer.Exit: If any failed.
    """
    failed = [row.exit_code for row in rows if row.exit_code]
    if failed and jobs == 1:
        raise typer.Exit(failed[0])
    if failed and len(rows) < jobs:
        raise typer.Exit(SodError.exit_code)
    if failed:
        ui.warn(f"{len(failed)} of {jobs} inputs failed (listed above)")
        raise typer.Exit(BatchError.exit_code)
