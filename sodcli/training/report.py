"""What a run tells the outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run before its first step.

    Attributes:
        model: Name of the model.
        parameters: Number of values being trained.
        train: Number of training pairs.
        held: Number of validation pairs.
        epochs: Of the whole run.
        steps: Optimiser steps of the whole run.
        done: Steps taken before this start.
        device: Where it runs, in words.
        processes: How many work on it.
        amp: Number format of the forward pass, as in the recipe.
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
    """Receives what happens; this one keeps silent."""

    def on_start(self, plan: Plan) -> None:
        """The first step is about to be taken."""

    def on_step(self, report: StepReport) -> None:
        """A step was taken."""

    def on_skip(self, names: Sequence[str]) -> None:
        """Pictures could not be read and were left out."""

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch ended; ``row`` is its line of ``metrics.jsonl``."""

    def on_note(self, text: str) -> None:
        """Something the person at the keyboard should know."""
