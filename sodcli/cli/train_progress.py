"""Progress display of ``sod train``."""

import time
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
from sodcli.text import plural
from sodcli.training.report import Reporter, RunPlan, StepReport

_MINUTE: Final = 60
_PRECISION: Final = {"none": "float32", "bf16": "bfloat16 (AMP)", "fp16": "float16 (AMP)"}


class TrainProgress(Reporter):
    """A bar with time left, loss, rate and speed, and a line per epoch; a context manager.

    Where stderr is not a terminal, a line per minute replaces the bar.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._on_screen = ui.stderr.is_terminal
        self._bar = Progress(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=ui.stderr,
            disable=quiet or not self._on_screen,
            transient=True,
        )
        self._task: TaskID | None = None
        self._steps = 0
        self._images = 0
        self._started = self._printed = time.monotonic()
        self._warned: set[str] = set()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def on_check(self, done: int, total: int) -> None:
        """Show how many masks are checked."""
        if self._task is None:
            self._task = self._bar.add_task("", total=total, epoch="checking masks", state="")
        self._bar.update(self._task, completed=done, total=total)
        if self._minute_passed():
            ui.note(f"checking masks: {done} of {total}", quiet=self._quiet)

    def on_start(self, plan: RunPlan) -> None:
        """Print the plan of the run, and start the bar."""
        self._steps = plan.steps
        ui.note(
            f"{plan.model}: {plan.parameters:,} parameters, "
            f"{plural(plan.train, plan.item)} to train on, {plan.held} to validate on, "
            f"{plural(plan.epochs, 'epoch')} of "
            f"{plural(plan.steps // plan.epochs, 'step')}{_passes(plan)} on "
            f"{plan.processes} x {plan.device}, {_PRECISION[plan.amp]}{_start(plan)}",
            quiet=self._quiet,
        )
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(
            "", total=plan.steps, completed=plan.done, epoch="", state=""
        )
        self._started = self._printed = time.monotonic()

    def on_step(self, report: StepReport) -> None:
        """Move the bar; into a file, print a line per minute."""
        assert self._task is not None
        self._images += report.images
        speed = self._images / max(time.monotonic() - self._started, 1e-9)
        state = f"loss {report.pixel_loss:.4g}, lr {report.lr:.3g}, {speed:.3g} img/s"
        self._bar.update(
            self._task, completed=report.step, epoch=f"epoch {report.epoch}", state=state
        )
        if self._minute_passed():
            ui.note(
                f"epoch {report.epoch}, step {report.step} of {self._steps}: {state}",
                quiet=self._quiet,
            )

    def _minute_passed(self) -> bool:
        """Return True once a minute where there is no bar."""
        now = time.monotonic()
        if self._on_screen or now - self._printed < _MINUTE:
            return False
        self._printed = now
        return True

    def on_skip(self, reasons: Sequence[str]) -> None:
        """Warn once about each picture that cannot be read."""
        for reason in set(reasons) - self._warned:
            self.on_note(f"skipped: {reason}")
        self._warned.update(reasons)

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """Print the loss, rate, speed and scores of the epoch."""
        scores = "".join(f", {name} {row[name]:.4f}" for name in ("MAE", "maxF") if name in row)
        skipped = f", {plural(row['skipped'], 'picture')} skipped" if row["skipped"] else ""
        ui.note(
            f"epoch {row['epoch']}: loss {row['loss_per_pixel']:.4g}, lr {row['lr']:.3g}, "
            f"{row['images_per_s']:.3g} img/s{scores}{skipped}",
            quiet=self._quiet,
        )

    def on_note(self, text: str) -> None:
        """Print a warning."""
        if not self._quiet:
            ui.warn(text)


def _passes(plan: RunPlan) -> str:
    """Explain the number of steps where an epoch has several passes."""
    return f" ({plan.passes} scales)" if plan.passes > 1 else ""


def _start(plan: RunPlan) -> str:
    """Return where a resumed run continues."""
    if plan.done_epochs >= plan.epochs:
        return f"; finished already, at step {plan.done}"
    return f", going on at step {plan.done + 1}" if plan.done else ""
