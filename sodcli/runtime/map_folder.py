"""A folder of maps, and the note in it that says what made them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sodcli.data.pairs import Pair
from sodcli.errors import SinkError, SourceError, UsageError
from sodcli.files import sweep, write_whole
from sodcli.runtime.predictor import Predictor
from sodcli.text import reason_of
from sodcli.weights.expected import ExpectedFile, check


@dataclass(frozen=True, slots=True)
class MapTask:
    """One map to make: the set it belongs to, picture and ground truth, and its file."""

    set: str
    pair: Pair
    target: Path


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Maps that are made in one go.

    Attributes:
        tasks: In their order.
        film: Whether they are neighbouring frames, for a model that takes clips.
    """

    tasks: tuple[MapTask, ...]
    film: bool


class MapFolder:
    """Where ``sod test`` writes.

    Args:
        out: The folder; a set goes to ``out/SET``, what made it into ``out/SET.json``.
        about: What made the maps: from :func:`describe`.
    """

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self._out, self._about = out, about

    def check(self, groups: Sequence[TaskGroup], *, resume: bool, overwrite: bool) -> None:
        """Refuse to mix maps of different makers, or to write over maps unasked.

        Raises:
            UsageError: If there are maps that this run would replace, or that something else made.
        """
        if overwrite:
            return
        for name, targets in _targets(groups).items():
            count = sum(target.exists() for target in targets)
            if count and self._read(name) != self._about:
                raise UsageError(
                    f"{self._out / name} holds {count} maps that were not made with these weights "
                    "and settings; choose another -o, or --overwrite to replace them"
                )
            if count and not resume:
                raise UsageError(
                    f"{self._out / name} holds {count} of these maps already; --resume goes on "
                    "with them, --overwrite makes them anew"
                )

    def begin(self, groups: Sequence[TaskGroup], *, overwrite: bool) -> None:
        """Note what makes the maps; clear what a killed run left, and maps of other makers.

        Those are of no use beside new ones: a run that is cut short could not tell them apart.

        Raises:
            SinkError: If the folder cannot be written.
        """
        text = json.dumps(self._about, indent=2) + "\n"
        try:
            for name, targets in _targets(groups).items():
                if overwrite and self._read(name) != self._about:
                    for target in targets:
                        target.unlink(missing_ok=True)
                write_whole(self._note(name), text.encode())
                for folder in {target.parent for target in targets}:
                    sweep(folder)
        except OSError as error:
            raise SinkError(f"cannot write to {self._out}: {reason_of(error)}") from error

    def _note(self, name: str) -> Path:
        return self._out / f"{name}.json"

    def _read(self, name: str) -> Any:
        try:
            return json.loads(self._note(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


def describe(predictor: Predictor, protocol: str, *, half: bool) -> dict[str, Any]:
    """Return what tells one run's maps from another's.

    Raises:
        SourceError: If the weights file cannot be read any more.
    """
    path = predictor.weights
    try:
        digest = check(path, ExpectedFile(), str(path)).sha256 if path else None
    except OSError as error:
        raise SourceError(f"{path}: {reason_of(error)}") from error
    return {
        "model": predictor.spec.name,
        "weights": path.name if path else None,
        "sha256": digest,
        "size_hw": list(predictor.size_hw),
        "large": asdict(predictor.large) if predictor.large else None,
        "protocol": protocol,
        "half": half,
    }


def _targets(groups: Sequence[TaskGroup]) -> dict[str, list[Path]]:
    """Return the files of each set."""
    targets: dict[str, list[Path]] = {}
    for task in (task for group in groups for task in group.tasks):
        targets.setdefault(task.set, []).append(task.target)
    return targets
