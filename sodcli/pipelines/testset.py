"""The loop of ``sod test``: saliency maps of benchmark sets, as files."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sodcli.data.clips import frames_apart
from sodcli.data.heads import picture_size
from sodcli.data.pairs import Pair
from sodcli.data.read import read_image
from sodcli.errors import SourceError
from sodcli.frame import Frame
from sodcli.imaging.tensors import fit_map
from sodcli.io.decode import DAMAGE
from sodcli.io.sinks import save_picture
from sodcli.pipelines.predictor import Predictor
from sodcli.pipelines.stages import Writer, prefetch
from sodcli.pipelines.stream import picture_stream, saliency_stream
from sodcli.pipelines.strips import Strip, Task

_AHEAD: Final = 2  # pictures waiting between two stages; more would only cost memory


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one map; ``error`` is set when it failed."""

    task: Task
    status: Literal["done", "skipped", "failed"]
    error: SourceError | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How maps are made.

    Attributes:
        batch: Pictures, or clips, per forward pass.
        paper: Whether clips of a film do not overlap, as the papers have it; else they fade into
            one another.
        resume: Leave the maps that are there and whole.
        rounding: How grey levels are made: ``nearest``, or ``down``, cut off.
    """

    batch: int = 1
    paper: bool = True
    resume: bool = False
    rounding: str = "nearest"


Report = Callable[[Outcome], None]


def run(
    strips: Iterable[Strip], predictor: Predictor, settings: Settings, report: Report
) -> list[Outcome]:
    """Make the maps; a picture that cannot be read leaves the others as they are.

    Args:
        strips: From :func:`.strips.plan` or :func:`.strips.share`.
        predictor: The network; a ``PublishedPredictor`` for a paper's own protocol.
        settings: See :class:`Settings`.
        report: Called with each outcome as it becomes known, from several threads but never from
            two at once.

    Raises:
        DeviceError: If the device has not enough memory even for one picture.
        PipelineError: If a map cannot be written; those to come could not be, either.
        WeightsError: If the network's answers are not finite.
    """
    ledger = _Ledger(report)
    for strip in strips:
        wanted = {at for at, task in enumerate(strip.tasks) if not _is_done(task, settings)}
        for at, task in enumerate(strip.tasks):
            if at not in wanted:
                ledger.add(Outcome(task, "skipped"))
        if wanted:
            _run(strip, wanted, predictor, settings, ledger)
    return ledger.outcomes


class _Ledger:
    """Outcomes from the threads that read and write."""

    def __init__(self, report: Report) -> None:
        self.outcomes: list[Outcome] = []
        self._report, self._lock = report, threading.Lock()

    def add(self, outcome: Outcome) -> None:
        with self._lock:
            self.outcomes.append(outcome)
            self._report(outcome)


def _run(
    strip: Strip, wanted: set[int], predictor: Predictor, settings: Settings, ledger: _Ledger
) -> None:
    def write(item: object) -> None:
        frame = cast(Frame, item)
        task = strip.tasks[frame.index]
        save_picture(_grey(frame, task, settings), task.target)
        ledger.add(Outcome(task, "done"))

    needed = range(len(strip.tasks)) if strip.film else sorted(wanted)
    frames = prefetch(_read(strip.tasks, needed, wanted, ledger), _AHEAD)
    with closing(frames), Writer(write, _AHEAD) as writer:
        for frame in _answers(predictor, frames, strip, settings):
            if frame.index in wanted:
                writer.put(frame)


def _read(
    tasks: Sequence[Task], needed: Iterable[int], wanted: set[int], ledger: _Ledger
) -> Iterator[Frame]:
    for at in needed:
        try:
            yield _frame(tasks[at].pair, at)
        except SourceError as error:
            if at in wanted:
                ledger.add(Outcome(tasks[at], "failed", error))


def _frame(pair: Pair, index: int) -> Frame:
    """Read a picture turned the way its ground truth is drawn."""
    size_hw = picture_size(pair.mask)
    rgb = read_image(pair.image)
    if rgb.shape[:2] != size_hw:
        stored = read_image(pair.image, upright=False)
        rgb = stored if stored.shape[:2] == size_hw else rgb
    return Frame(rgb, index, pair.image.stem, origin=pair.image)


def _answers(
    predictor: Predictor, frames: Iterator[Frame], strip: Strip, settings: Settings
) -> Iterator[Frame]:
    if strip.film:
        # Where few frames have a ground truth, only these are here, and they lie far apart.
        apart = frames_apart([task.pair for task in strip.tasks])
        gap = max(1, int(predictor.spec.frame_gap // apart))
        batch, paper = settings.batch, settings.paper
        return saliency_stream(predictor, frames, batch=batch, paper=paper, gap=gap)
    return picture_stream(predictor, frames, settings.batch)


def _grey(frame: Frame, task: Task, settings: Settings) -> NDArray[np.uint8]:
    """Return the map in 8 bits, at the ground truth's size."""
    assert frame.saliency is not None  # every frame that comes back has one
    levels = fit_map(frame.saliency, picture_size(task.pair.mask)) * 255
    return (levels if settings.rounding == "down" else np.rint(levels)).astype(np.uint8)


def _is_done(task: Task, settings: Settings) -> bool:
    """Say whether the map is there and whole: 8-bit grey, of the ground truth's size."""
    if not settings.resume or not task.target.exists():
        return False
    try:
        with Image.open(task.target) as picture:
            picture.load()
            size_hw = (picture.height, picture.width)
            return picture.mode == "L" and size_hw == picture_size(task.pair.mask)
    except (*DAMAGE, SourceError):
        return False
