"""What ``sod infer`` says of its inputs: lines, JSON and the exit code."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import typer

from sodcli.cli import ui
from sodcli.errors import BatchError, SodError

if TYPE_CHECKING:
    from sodcli.infer.photos import Outcome
    from sodcli.io.sinks import Job


_WORDS: Final = ("done", "skipped", "failed", "not begun", "to write", "to skip")


def tell(outcome: "Outcome", *, quiet: bool, as_json: bool, skips: bool) -> None:
    """Say what became of one input as soon as it is known; of skipped ones only if ``skips``."""
    if outcome.status == "failed":
        ui.error(str(outcome.error))
    elif outcome.status == "skipped":
        text = f"{outcome.job.output}: exists, skipped (--overwrite replaces)"
        ui.note(text, quiet=quiet or not skips)
    elif outcome.job.target is not None and not as_json:
        ui.put(outcome.job.output)


def print_plan(
    jobs: "list[Job]", overwrite: bool, *, quiet: bool, as_json: bool, skips: bool
) -> None:
    """Say what would become of every input; of those to skip only if ``skips``."""
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
            ui.note(f"{row['output']}: exists, would be skipped", quiet=quiet or not skips)
        else:
            ui.put(row["output"])
    if len(jobs) > 1:
        ui.note(_counted(jobs, [f"to {row['status']}" for row in rows]), quiet=quiet)


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


def put_summary(rows: Sequence[Row], about: Mapping[str, str | None]) -> None:
    """Print the run as one JSON document; ``about`` names the network, if one was needed."""
    counts = Counter(row.about["status"] for row in rows)
    words = ("done", "skipped", "failed")
    results = {"results": [row.about for row in rows], **{word: counts[word] for word in words}}
    ui.put_json({**about, **results})


def finish(rows: Sequence[Row], jobs: "Sequence[Job]", took: float | None, *, quiet: bool) -> None:
    """Count what became of several inputs, and end with the exit code that calls for.

    Args:
        rows: Of all inputs that were looked at; each error is on the screen already.
        jobs: All inputs.
        took: How long the work took, in seconds, if that is to be told.
        quiet: Do not count.

    Raises:
        typer.Exit: If any failed.
    """
    if len(jobs) > 1 or took is not None:
        time = "" if took is None else f" in {took:.2f} s"
        ui.note(_counted(jobs, [row.about["status"] for row in rows], time), quiet=quiet)
    failed = [row.exit_code for row in rows if row.exit_code]
    if failed and len(jobs) == 1:
        raise typer.Exit(failed[0])
    if failed and len(rows) < len(jobs):
        raise typer.Exit(SodError.exit_code)
    if failed:
        raise typer.Exit(BatchError.exit_code)


def _counted(jobs: "Sequence[Job]", statuses: Sequence[str], time: str = "") -> str:
    """Say ``5 pictures and 2 films: 4 done, 3 failed``."""
    kinds, counts = Counter(job.input.kind for job in jobs), Counter(statuses)
    counts["not begun"] = len(jobs) - len(statuses)
    whole = " and ".join(
        f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in sorted(kinds.items(), reverse=True)
    )
    parts = ", ".join(f"{counts[word]} {word}" for word in _WORDS if counts[word])
    hint = "; --overwrite replaces what exists" if counts["skipped"] else ""
    return f"{whole}{time}: {parts}{hint}"
