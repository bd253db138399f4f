"""Events of a training run, for progress displays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Summary of a run before its first step.

    Attributes:
        model: Name of the model.
        parameters: Number of trainable values.
        train: Number of training pairs.
        held: Number of validation pairs.
        epochs: Epochs of the whole run.
        steps: Optimiser steps of the whole run.
        done: Steps taken before; above 0 for a resumed run.
        device: Name of the device.
        processes: Number of processes.
        amp: Number format of the forward pass, as in the config.
    """

    model: str
    parameters: int
    train: int
    held: int
    epochs: int
    steps: int
    done: int
    device: str
    processes: int
    amp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One optimiser step.

    Attributes:
        step: Steps taken so far, over all epochs.
        epoch: From 1.
        loss: Mean over the batch's pictures.
        lr: Highest learning rate of the groups.
        images: Pictures in the batch, over all processes.
    """

    step: int
    epoch: int
    loss: float
    lr: float
    images: int


class Reporter:
    """Receives the events of a run. The base class ignores them."""

    def on_start(self, plan: RunPlan) -> None:
        """Called before the first step."""

    def on_step(self, report: StepReport) -> None:
        """Called after each step."""

    def on_skip(self, names: Sequence[str]) -> None:
        """Called with ``file: reason`` of pictures that could not be read."""

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """Called after each epoch with its line of ``metrics.jsonl``."""

    def on_note(self, text: str) -> None:
        """Called with a warning."""
