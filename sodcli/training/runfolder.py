"""The folder that a run leaves behind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sodcli.errors import UsageError
from sodcli.files import sweep, write_whole
from sodcli.training.config import TrainConfig, read_config

_CONFIG: Final = "config.toml"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where each file of a run lies.

    ``config.toml`` (what was asked for), ``last.pth`` (everything a resumed run needs),
    ``last.safetensors`` and ``best.safetensors`` (weights for use), ``metrics.jsonl`` (a line per
    epoch), ``samples/epoch_0005.png`` (photo, ground truth and map side by side).
    """

    root: Path

    @property
    def checkpoint(self) -> Path:
        """The exact state of the run."""
        return self.root / "last.pth"

    @property
    def last(self) -> Path:
        """The newest weights."""
        return self.root / "last.safetensors"

    @property
    def best(self) -> Path:
        """The weights with the best score on the validation pairs."""
        return self.root / "best.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON object per epoch."""
        return self.root / "metrics.jsonl"

    def sheet(self, epoch: int) -> Path:
        """Return where the sample pictures after ``epoch`` (from 1) go."""
        return self.root / "samples" / f"epoch_{epoch:04d}.png"

    def check_new(self) -> None:
        """Make sure that nothing is there yet.

        Raises:
            UsageError: If there is.
        """
        if self.root.is_dir():
            sweep(self.root)
        if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise UsageError(
                f"{self.root} exists and is not empty; choose another -o, or add --resume"
            )

    def tidy(self) -> None:
        """Remove the half-written files of a process that was killed."""
        sweep(self.root)
        sweep(self.root / "samples")

    def read(self) -> TrainConfig:
        """Return the config of the run that is to be resumed.

        Raises:
            UsageError: If there is none, or it was changed by hand into nonsense.
        """
        path = self.root / _CONFIG
        if not path.is_file():
            raise UsageError(f"nothing to resume in {self.root}: no {_CONFIG} there")
        return read_config(path)

    def write(self, config: TrainConfig) -> None:
        """Write what was asked for.

        Raises:
            SinkError: If it cannot be written.
        """
        write_whole(self.root / _CONFIG, config.toml().encode())

    def rows(self) -> list[dict[str, Any]]:
        """Return the metrics of each epoch; a line that a crash cut off is left out."""
        if not self.metrics.exists():
            return []
        rows = [_parse(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]
        return [row for row in rows if row is not None]

    def put_row(self, row: Mapping[str, Any]) -> None:
        """Add an epoch's line to the metrics, in place of what was there for it and after it.

        Raises:
            SinkError: If it cannot be written.
        """
        before = [old for old in self.rows() if old["epoch"] < row["epoch"]]
        lines = [json.dumps(each) for each in [*before, row]]
        write_whole(self.metrics, ("\n".join(lines) + "\n").encode())


def _parse(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("epoch"), int) else None
