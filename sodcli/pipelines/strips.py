"""Which maps ``sod test`` makes, in what order, and which process makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sodcli.data.benchmark import BenchmarkSet
from sodcli.data.pairs import Pair
from sodcli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Task:
    """One map to make: the set it belongs to, picture and ground truth, and its file."""

    set: str
    pair: Pair
    target: Path


@dataclass(frozen=True, slots=True)
class Strip:
    """Maps that are made in one go.

    Attributes:
        tasks: In their order.
        film: Whether they are neighbouring frames, for a model that takes clips.
    """

    tasks: tuple[Task, ...]
    film: bool


def plan(sets: Sequence[BenchmarkSet], out: Path, *, clips: bool) -> list[Strip]:
    """Return the maps to make: ``out/SET/PICTURE.png``, or ``out/SET/SEQUENCE/FRAME.png``.

    Args:
        sets: What to go through.
        out: Folder of the maps.
        clips: Whether the model takes clips of a film; then a sequence stays together.

    Raises:
        UsageError: If two maps would be one file.
    """
    strips = []
    for one in sets:
        parts = [
            tuple(
                Task(one.name, pair, _target(out / one.name / clip.name, pair))
                for pair in clip.pairs
            )
            for clip in one.clips
        ]
        if one.film and clips:
            strips += [Strip(tasks, film=True) for tasks in parts]
        else:
            strips.append(Strip(tuple(task for tasks in parts for task in tasks), film=False))
    _check_targets(strips)
    return strips


def share(strips: Sequence[Strip], rank: int, world: int) -> list[Strip]:
    """Return what the process ``rank`` of ``world`` does: every so many pictures or sequences."""
    films = [strip for strip in strips if strip.film][rank::world]
    stills = [Strip(strip.tasks[rank::world], film=False) for strip in strips if not strip.film]
    return [strip for strip in (*stills, *films) if strip.tasks]


def _check_targets(strips: Sequence[Strip]) -> None:
    first: dict[Path, Task] = {}
    for task in (task for strip in strips for task in strip.tasks):
        other = first.setdefault(task.target, task)
        if other is not task:
            raise UsageError(
                f"{other.pair.image} and {task.pair.image} would both become {task.target}; "
                "rename one of them, or its folder"
            )


def _target(folder: Path, pair: Pair) -> Path:
    return folder / f"{pair.image.stem}.png"
