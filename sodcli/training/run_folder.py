"""The folder of a training run: config, checkpoint, weights, metrics."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from sodcli.errors import SinkError, UsageError, WeightsError
from sodcli.files import sweep, write_whole
from sodcli.files.locks import take
from sodcli.text import reason_of
from sodcli.training.config import TrainConfig, read_config
from sodcli.weights.read import read_pickle
from sodcli.weights.save import save_pickle

_CONFIG: Final = "config.toml"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of the files of a run.

    ``config.toml`` (all settings), ``last.pth`` (the checkpoint), ``last.safetensors`` and
    ``best.safetensors`` (exported weights), ``metrics.jsonl`` and ``metrics.csv`` (one line per
    epoch), ``samples/epoch_0005.png`` (photo, ground truth and map side by side).
    """

    root: Path

    @property
    def checkpoint(self) -> Path:
        """The checkpoint: everything that a resumed run needs."""
        return self.root / "last.pth"

    @property
    def last(self) -> Path:
        """Weights after the last epoch."""
        return self.root / "last.safetensors"

    @property
    def best(self) -> Path:
        """The weights with the best score on the validation pairs."""
        return self.root / "best.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON object per epoch."""
        return self.root / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """Folder of TensorBoard's files."""
        return self.root / "events"

    def sheet(self, epoch: int) -> Path:
        """Return the path of the sample pictures after ``epoch`` (from 1)."""
        return self.root / "samples" / f"epoch_{epoch:04d}.png"

    def check_new(self) -> None:
        """Check that the folder is missing or empty.

        Raises:
            UsageError: If it is not.
        """
        if self.root.is_dir():
            sweep(self.root)
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"{self.root} is a file; -o names the folder of a run")
        if self.root.exists() and any(self.root.iterdir()):
            raise UsageError(
                f"{self.root} exists and is not empty; choose another -o, or add --resume"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder if it is missing, and lock it against other processes.

        Windows, and file systems without locks, do not lock folders.

        Raises:
            SinkError: If it cannot be created.
            UsageError: If another process holds it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"cannot write {self.root}: {reason_of(error)}") from error
        with ExitStack() as stack:
            try:
                handle = os.open(self.root, os.O_RDONLY)
                stack.callback(os.close, handle)
                take(handle)
            except BlockingIOError as error:
                raise UsageError(f"{self.root}: another process trains there") from error
            except OSError:
                pass
            yield

    def tidy(self) -> None:
        """Remove temporary files left by killed processes."""
        sweep(self.root)
        sweep(self.root / "samples")

    def read(self) -> TrainConfig:
        """Read the config of the run.

        Raises:
            UsageError: If there is none, or it is invalid.
        """
        path = self.root / _CONFIG
        if not path.is_file():
            raise UsageError(f"nothing to resume in {self.root}: no {_CONFIG} there")
        return read_config(path)

    def write(self, config: TrainConfig) -> None:
        """Write the config.

        Raises:
            SinkError: If it cannot be written.
        """
        write_whole(self.root / _CONFIG, config.toml().encode())

    def rows(self) -> list[dict[str, Any]]:
        """Return the metrics of each epoch, without a line that a crash truncated."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_bytes().splitlines()
        return [row for row in map(_parse, lines) if row is not None]

    def put_row(self, row: Mapping[str, Any]) -> None:
        """Write an epoch's metrics, replacing those of this epoch and of later ones.

        Raises:
            SinkError: If it cannot be written.
        """
        before = [old for old in self.rows() if old["epoch"] < row["epoch"]]
        rows = [*before, dict(row)]
        lines = [json.dumps(each) for each in rows]
        write_whole(self.metrics, ("\n".join(lines) + "\n").encode())
        write_whole(self.metrics.with_suffix(".csv"), _as_csv(rows).encode())


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:  # not JSON, or not even text
        return None
    return row if isinstance(row, dict) and isinstance(row.get("epoch"), int) else None


@dataclass(kw_only=True)
class Progress:
    """Position of a run.

    Attributes:
        epoch: Number of complete epochs.
        batch: Number of batches done in the current epoch.
        step: Total number of optimiser steps.
        images: Number of pictures seen in the current epoch.
        skipped: Number of unreadable pictures in the current epoch.
        loss: Sum of the loss over the pictures seen in the current epoch.
        pixel_loss: Sum of the loss per pixel over the same pictures.
        seconds: Time spent on the current epoch.
        lr: Highest learning rate of the last step.
        best: Best score so far, higher is better; ``None`` before the first validation.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    images: int = 0
    skipped: int = 0
    loss: float = 0.0
    pixel_loss: float = 0.0
    seconds: float = 0.0
    lr: float = 0.0
    best: float | None = None

    def next_epoch(self) -> None:
        """End the current epoch."""
        self.epoch += 1
        self.batch = self.images = self.skipped = 0
        self.loss = self.pixel_loss = self.seconds = 0.0


def save_checkpoint(path: Path, learner: dict[str, Any], progress: Progress, pairs: str) -> None:
    """Write a checkpoint atomically; on failure the previous one is kept.

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
        pairs: Digest of the current training pairs.

    Raises:
        WeightsError: If it is damaged or not a checkpoint.
        UsageError: If it belongs to other training pairs.
    """
    content = _table(read_pickle(path))
    progress = _table(content.get("progress"))
    known = {field.name for field in fields(Progress)}
    complete = known >= progress.keys() >= {"epoch", "step"}
    if not (complete and content.keys() >= {"learner", "pairs"}):
        raise WeightsError(f"{path}: not a checkpoint of a training run")
    if content["pairs"] != pairs:
        raise UsageError(
            f"cannot resume {path.parent}: the training pictures are not those it started with; "
            "restore them, or start a new run with --init"
        )
    return content["learner"], Progress(**progress)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def digest(names: Iterable[str]) -> str:
    """Return the SHA-256 of ``names`` in their order, as text."""
    # Names of files that are not UTF-8 hold unpaired surrogates.
    return hashlib.sha256("\n".join(names).encode(errors="surrogatepass")).hexdigest()
