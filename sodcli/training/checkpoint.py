"""The exact state of a run, so that a killed run ends as if it had never been."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sodcli.errors import SinkError, UsageError, WeightsError
from sodcli.weights.read import read_pickle
from sodcli.weights.save import save_pickle


@dataclass(kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch: Complete epochs.
        batch: Batches done of the epoch at hand.
        step: Optimiser steps taken in all.
        images: Pictures seen in the epoch at hand.
        skipped: Unreadable pictures in the epoch at hand.
        loss: Sum over these pictures.
        seconds: Time spent on them.
        lr: Highest learning rate of the last step.
        best: Best score so far, higher is better; ``None`` before the first validation.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    images: int = 0
    skipped: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    lr: float = 0.0
    best: float | None = None

    def next_epoch(self) -> None:
        """Close the epoch at hand."""
        self.epoch += 1
        self.batch = self.images = self.skipped = 0
        self.loss = self.seconds = 0.0


def save_checkpoint(path: Path, learner: dict[str, Any], progress: Progress, pairs: str) -> None:
    """Write a checkpoint; it appears whole, and until then the one before stays.

    Raises:
        SinkError: If it cannot be written.
    """
    content = {"learner": learner, "progress": asdict(progress), "pairs": pairs}
    try:
        save_pickle(path, content)
    except SinkError as error:
        kept = "; the checkpoint before is kept" if path.exists() else ""
        raise SinkError(f"{error}{kept}") from error


def load_checkpoint(path: Path, pairs: str) -> tuple[dict[str, Any], Progress]:
    """Read what :func:`save_checkpoint` wrote.

    Args:
        path: The checkpoint.
        pairs: Digest of the training pairs found now.

    Raises:
        WeightsError: If it is damaged or something else.
        UsageError: If it was made with other training pairs.
    """
    content = read_pickle(path)
    known = {field.name for field in fields(Progress)}
    if not isinstance(content, dict) or content.get("progress", {}).keys() != known:
        raise WeightsError(f"{path}: not a checkpoint of a training run")
    if content["pairs"] != pairs:
        raise UsageError(
            f"cannot resume {path.parent}: the training pictures are not those it started with; "
            "restore them, or start a new run with --init"
        )
    return content["learner"], Progress(**content["progress"])


def digest(names: Iterable[str]) -> str:
    """Return a short text that differs when ``names`` or their order do."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
