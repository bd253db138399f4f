"""Events of a training run, for progress displays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from sodcli.errors import UsageError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_LOGGED_STEPS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Summary of a run before its first step.

    Attributes:
        model: Name of the model.
        parameters: Number of trainable values.
        train: Number of training items.
        held: Number of validation items.
        epochs: Epochs of the whole run.
        steps: Optimiser steps of the whole run.
        done: Steps already taken; above 0 for a resumed run.
        done_epochs: Epochs already complete; the steps of an epoch depend on ``processes``.
        device: Name of the device.
        processes: Number of processes.
        amp: Number format of the forward pass, as in the config.
        passes: Passes over the data per epoch, one for each of the config's ``scales``.
        item: What the network learns from: pair, clip or triple.
    """

    model: str
    parameters: int
    train: int
    held: int
    epochs: int
    steps: int
    done: int
    done_epochs: int
    device: str
    processes: int
    amp: str
    passes: int = 1
    item: str = "pair"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One optimiser step.

    Attributes:
        step: Steps taken so far, over all epochs.
        epoch: From 1.
        loss: Mean loss over the batch's pictures.
        pixel_loss: Loss per pixel, if the loss is a sum over pixels; otherwise ``loss``.
        lr: Highest learning rate of the groups.
        images: Pictures in the batch, over all processes.
    """

    step: int
    epoch: int
    loss: float
    pixel_loss: float
    lr: float
    images: int


class Reporter:
    """Receives the events of a run. The base class ignores them."""

    def on_check(self, done: int, total: int) -> None:
        """Called while the masks are checked before the first step."""

    def on_start(self, plan: RunPlan) -> None:
        """Called before the first step."""

    def on_step(self, report: StepReport) -> None:
        """Called after each step."""

    def on_skip(self, reasons: Sequence[str]) -> None:
        """Called with ``file: reason`` of pictures that could not be read."""

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """Called after each epoch with its line of ``metrics.jsonl``."""

    def on_samples(self, epoch: int, path: Path) -> None:
        """Called with the sheet of sample pictures written after ``epoch`` (from 1)."""

    def on_note(self, text: str) -> None:
        """Called with a warning."""


class Broadcast(Reporter):
    """Passes every event on to several reporters."""

    def __init__(self, *reporters: Reporter) -> None:
        for event in vars(Reporter):
            if event.startswith("on_"):
                setattr(self, event, partial(_call_all, [getattr(one, event) for one in reporters]))


def _call_all(receivers: Sequence[Callable[..., None]], *args: Any) -> None:
    for receive in receivers:
        receive(*args)


class TensorBoard(Reporter):
    """Writes loss, learning rate, scores and sample pictures as TensorBoard events.

    Args:
        folder: Folder of the event files; created with the first of them.

    Raises:
        UsageError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if find_spec("tensorboard") is None:
            raise UsageError("--tensorboard needs: pip install 'sodcli[tensorboard]'")
        self._folder = folder
        self._step = self._done = 0
        self._opened: SummaryWriter | None = None

    @property
    def _writer(self) -> "SummaryWriter":
        if self._opened is None:
            from torch.utils.tensorboard import SummaryWriter

            self._opened = SummaryWriter(str(self._folder), purge_step=self._done + 1)
        return self._opened

    def on_start(self, plan: RunPlan) -> None:
        """Continue after the steps already taken, and drop points from beyond them."""
        self._step = self._done = plan.done

    def on_step(self, report: StepReport) -> None:
        """Write loss and learning rate of every tenth step."""
        self._step = report.step
        if report.step % _LOGGED_STEPS == 0:
            self._writer.add_scalar("train/loss", report.pixel_loss, report.step)
            self._writer.add_scalar("train/lr", report.lr, report.step)

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """Write all numbers of the epoch."""
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self._writer.add_scalar(f"epoch/{name}", value, row["step"])
        self._writer.flush()

    def on_samples(self, epoch: int, path: Path) -> None:
        """Write the sheet of sample pictures."""
        with Image.open(path) as sheet:
            self._writer.add_image("samples", np.asarray(sheet), self._step, dataformats="HWC")
