"""``sod test``: plan and make the maps of benchmark sets."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sodcli.benchmark.paper_protocol import PublishedPredictor
from sodcli.data.benchmarks import BenchmarkSet
from sodcli.data.clips import frames_apart
from sodcli.data.pairs import Pair
from sodcli.data.read import picture_size, read_image
from sodcli.errors import SourceError, UsageError
from sodcli.frame import Frame
from sodcli.imaging.tensors import fit_map
from sodcli.io.pictures.decode import DAMAGE
from sodcli.io.sinks import save_picture
from sodcli.process import ProcessGroup
from sodcli.runtime.map_folder import MapFolder, describe
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.stream import picture_stream, saliency_stream
from sodcli.runtime.threads import Writer, prefetch

_AHEAD: Final = 2  # pictures waiting between two threads


@dataclass(frozen=True, slots=True)
class MapTask:
    """One map to make.

    Attributes:
        set: Name of the data set.
        pair: Picture and ground truth.
        target: File of the map.
    """

    set: str
    pair: Pair
    target: Path


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Maps that are made together.

    Attributes:
        tasks: Maps in order.
        film: Whether they are frames of one film, in order, for a model that takes clips.
    """

    tasks: tuple[MapTask, ...]
    film: bool


def plan(sets: Sequence[BenchmarkSet], out: Path, *, clips: bool) -> list[TaskGroup]:
    """Return the maps to make: ``out/SET/PICTURE.png``, or ``out/SET/SEQUENCE/FRAME.png``.

    Args:
        sets: Data sets.
        out: Folder of the maps.
        clips: Whether the model takes clips of a film; the frames of a film then form one group.

    Raises:
        UsageError: If two maps would have the same file name.
    """
    groups = []
    for one in sets:
        parts = [
            tuple(
                MapTask(one.name, pair, out / one.name / clip.name / f"{pair.image.stem}.png")
                for pair in clip.pairs
            )
            for clip in one.groups
        ]
        if one.film and clips:
            groups += [TaskGroup(tasks, film=True) for tasks in parts]
        else:
            groups.append(TaskGroup(tuple(task for tasks in parts for task in tasks), film=False))
    _check_targets(groups)
    return groups


def share(groups: Sequence[TaskGroup], processes: ProcessGroup) -> list[TaskGroup]:
    """Return this process's share of the pictures and of the sequences."""
    films = processes.share([group for group in groups if group.film])
    stills = [
        TaskGroup(tuple(processes.share(group.tasks)), film=False)
        for group in groups
        if not group.film
    ]
    return [group for group in (*stills, *films) if group.tasks]


def _targets(groups: Sequence[TaskGroup]) -> dict[str, list[Path]]:
    """Return the files of each set."""
    targets: dict[str, list[Path]] = {}
    for task in (task for group in groups for task in group.tasks):
        targets.setdefault(task.set, []).append(task.target)
    return targets


def _check_targets(groups: Sequence[TaskGroup]) -> None:
    first: dict[Path, MapTask] = {}
    for task in (task for group in groups for task in group.tasks):
        other = first.setdefault(task.target, task)
        if other is not task:
            raise UsageError(
                f"{other.pair.image} and {task.pair.image} would both become {task.target}; "
                "rename one of them, or its folder"
            )


@dataclass(frozen=True, slots=True)
class MapOutcome:
    """Result of one map; ``error`` is set if it failed."""

    task: MapTask
    status: Literal["done", "skipped", "failed"]
    error: SourceError | None = None


@dataclass(frozen=True, slots=True)
class MapRequest:
    """Options of a run.

    Attributes:
        out: Folder of the maps.
        protocol: ``paper``: sizes, stretching and rounding as published, and clips of a film that
            do not overlap; ``infer``: as ``sod infer``, which blends overlapping clips.
        batch: Pictures, or clips, per forward pass.
        half: Whether the predictor computes in bfloat16.
        resume: Keep existing maps that are complete.
        overwrite: Replace existing maps.
    """

    out: Path
    protocol: Literal["paper", "infer"] = "paper"
    batch: int = 1
    half: bool = False
    resume: bool = False
    overwrite: bool = False


Report = Callable[[MapOutcome], None]


def run(
    groups: Iterable[TaskGroup], predictor: Predictor, request: MapRequest, report: Report
) -> list[MapOutcome]:
    """Make the maps; a picture that cannot be read does not affect the others.

    Args:
        groups: From :func:`plan` or :func:`share`.
        predictor: The network; a ``PublishedPredictor`` for a paper's own protocol.
        request: Of its options ``protocol``, ``batch`` and ``resume``.
        report: Called with each outcome, from several threads but never concurrently.

    Raises:
        DeviceError: If the device has not enough memory even for one picture.
        SinkError: If a map cannot be written.
        WeightsError: If the network's answers are not finite.
    """
    outcomes = _Outcomes(report)
    for group in groups:
        wanted = {at for at, task in enumerate(group.tasks) if not _is_done(task, request)}
        for at, task in enumerate(group.tasks):
            if at not in wanted:
                outcomes.add(MapOutcome(task, "skipped"))
        if wanted:
            _run(group, wanted, predictor, request, outcomes)
    return outcomes.outcomes


class _Outcomes:
    """Collects outcomes from the reading and writing threads."""

    def __init__(self, report: Report) -> None:
        self.outcomes: list[MapOutcome] = []
        self._report, self._lock = report, threading.Lock()

    def add(self, outcome: MapOutcome) -> None:
        with self._lock:
            self.outcomes.append(outcome)
            self._report(outcome)


def _run(
    group: TaskGroup,
    wanted: set[int],
    predictor: Predictor,
    request: MapRequest,
    outcomes: _Outcomes,
) -> None:
    rounding = predictor.spec.rounding if request.protocol == "paper" else "nearest"

    def write(item: object) -> None:
        frame = cast(Frame, item)
        task = group.tasks[frame.index]
        save_picture(_grey(frame, task, rounding), task.target)
        outcomes.add(MapOutcome(task, "done"))

    needed = range(len(group.tasks)) if group.film else sorted(wanted)
    frames = prefetch(_read(group.tasks, needed, wanted, outcomes), _AHEAD)
    with closing(frames), Writer(write, _AHEAD) as writer:
        for frame in _answers(predictor, frames, group, request):
            if frame.index in wanted:
                writer.put(frame)


def _read(
    tasks: Sequence[MapTask], needed: Iterable[int], wanted: set[int], outcomes: _Outcomes
) -> Iterator[Frame]:
    for at in needed:
        try:
            yield _frame(tasks[at].pair, at)
        except SourceError as error:
            if at in wanted:
                outcomes.add(MapOutcome(tasks[at], "failed", error))


def _frame(pair: Pair, index: int) -> Frame:
    """Read a picture in the orientation of its ground truth."""
    size_hw = picture_size(pair.mask)
    rgb = read_image(pair.image)
    if rgb.shape[:2] != size_hw:
        stored = read_image(pair.image, upright=False)
        rgb = stored if stored.shape[:2] == size_hw else rgb
    return Frame(rgb, index, pair.image.stem, origin=pair.image)


def _answers(
    predictor: Predictor, frames: Iterator[Frame], group: TaskGroup, request: MapRequest
) -> Iterator[Frame]:
    if group.film:
        # The group has only frames with ground truth, which may be far apart in the film.
        apart = frames_apart([task.pair for task in group.tasks])
        gap = max(1, int(predictor.spec.frame_gap // apart))
        paper = request.protocol == "paper"
        return saliency_stream(predictor, frames, batch=request.batch, paper=paper, gap=gap)
    return picture_stream(predictor, frames, request.batch, still=True)


def _grey(frame: Frame, task: MapTask, rounding: str) -> NDArray[np.uint8]:
    """Return the map as uint8 at the size of the ground truth."""
    assert frame.saliency is not None  # set by the predictor
    levels = fit_map(frame.saliency, picture_size(task.pair.mask)) * 255
    return (levels if rounding == "down" else np.rint(levels)).astype(np.uint8)


def _is_done(task: MapTask, request: MapRequest) -> bool:
    """Return True if the map exists and is complete: 8-bit grey, of the ground truth's size."""
    if not request.resume or not task.target.exists():
        return False
    try:
        with Image.open(task.target) as picture:
            picture.load()
            size_hw = (picture.height, picture.width)
            return picture.mode == "L" and size_hw == picture_size(task.pair.mask)
    except (*DAMAGE, SourceError):
        return False


@dataclass(frozen=True, slots=True)
class MapRecord:
    """Result of one picture of a set, as text; ``error`` is set if it failed."""

    set: str
    picture: str
    output: str
    status: str
    error: str | None


def make_maps(
    sets: Sequence[BenchmarkSet],
    predictor: Predictor,
    request: MapRequest,
    processes: ProcessGroup,
    report: Report,
) -> list[MapRecord]:
    """Make the maps of ``sets``, together with the other processes.

    Returns:
        The result of every picture of every process.

    Raises:
        UsageError: If the model does not make saliency maps, or maps exist that ``resume`` and
            ``overwrite`` do not allow to keep or replace.
        SinkError: If the folder or a map cannot be written.
        DeviceError: If the device has not enough memory even for one picture.
        WeightsError: If the network's answers are not finite.
    """
    spec = predictor.spec
    if spec.task != "saliency":
        raise UsageError(f"{spec.name!r} makes pseudo labels for films, see sod pseudo-label")
    groups = plan(sets, request.out, clips=spec.clip_len > 1)
    about = describe(predictor, request.protocol, half=request.half)
    folder = MapFolder(request.out, about, _targets(groups))
    folder.check(resume=request.resume, overwrite=request.overwrite)
    processes.gather([])  # barrier: all processes check before one writes
    if processes.rank == 0:
        folder.begin(overwrite=request.overwrite)
    processes.gather([])
    if request.protocol == "paper":
        predictor = PublishedPredictor(predictor)
    outcomes = run(share(groups, processes), predictor, request, report)
    rows = processes.gather([json.dumps(asdict(_row(outcome))) for outcome in outcomes])
    return [MapRecord(**json.loads(row)) for row in rows]


def _row(outcome: MapOutcome) -> MapRecord:
    task, error = outcome.task, outcome.error
    text = None if error is None else str(error)
    return MapRecord(task.set, str(task.pair.image), str(task.target), outcome.status, text)
