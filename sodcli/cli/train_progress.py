"""What ``sod train`` shows while it works."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from sodcli.cli import ui
from sodcli.runtime.device import number_of
from sodcli.training.report import Reporter, RunPlan, StepReport

_PRECISION: Final = {"none": "float32", "bf16": "bfloat16 (AMP)", "fp16": "float16 (AMP)"}


class TrainProgress(Reporter):
    """A bar with time left, loss, rate and speed, and a line per epoch; a context manager."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=ui.stderr,
            disable=quiet or not ui.stderr.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._images = 0
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def on_start(self, plan: RunPlan) -> None:
        """Say what is being trained on what, and start the bar."""
        ui.note(
            f"{plan.model}: {plan.parameters:,} parameters, {plan.train} pairs to train on, "
            f"{plan.held} to validate on, {number_of(plan.epochs, 'epoch')} of "
            f"{number_of(plan.steps // plan.epochs, 'step')} on "
            f"{plan.processes} x {plan.device}, {_PRECISION[plan.amp]}{_start(plan)}",
            quiet=self._quiet,
        )
        self._task = self._bar.add_task(
            "", total=plan.steps, completed=plan.done, epoch="", state=""
        )

    def on_step(self, report: StepReport) -> None:
        """Move the bar on."""
        assert self._task is not None
        self._images += report.images
        elapsed = self._bar.tasks[0].elapsed or 0
        speed = f", {self._images / elapsed:.1f} img/s" if elapsed else ""
        self._bar.update(
            self._task,
            completed=report.step,
            epoch=report.epoch,
            state=f"loss {report.loss:.4g}, lr {report.lr:.3g}{speed}",
        )

    def on_skip(self, reasons: Sequence[str]) -> None:
        """Warn of pictures that could not be read, once of each."""
        for reason in set(reasons) - self._told:
            self.on_note(f"skipped: {reason}")
        self._told.update(reasons)

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """Print the epoch's numbers."""
        scores = "".join(f", {name} {row[name]:.4f}" for name in ("MAE", "maxF") if name in row)
        skipped = f", {row['skipped']} pictures skipped" if row["skipped"] else ""
        ui.note(
            f"epoch {row['epoch']}: loss {row['loss']:.4g}, lr {row['lr']:.3g}, "
            f"{row['images_per_s']:.1f} img/s{scores}{skipped}",
            quiet=self._quiet,
        )

    def on_note(self, text: str) -> None:
        """Warn."""
        if not self._quiet:
            ui.warn(text)


def _start(plan: RunPlan) -> str:
    """Say where a run that is taken up again begins."""
    if plan.done >= plan.steps:
        return f"; finished already, at step {plan.steps}"
    return f", going on at step {plan.done + 1}" if plan.done else ""
