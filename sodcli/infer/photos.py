"""The loop of ``sod infer``: read, predict, compose and write at the same time."""

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any, Literal, cast

from sodcli.errors import SodError
from sodcli.files.reading import MAX_PIXELS
from sodcli.frame import Frame
from sodcli.imaging.compose import Look, Pixels, compose, needs_srgb
from sodcli.imaging.tensors import binarise
from sodcli.io.pictures.colour import in_srgb
from sodcli.io.pictures.read import check_file
from sodcli.io.sinks import Job, encode_for, put_picture
from sodcli.io.sources import read_input
from sodcli.runtime.batching import in_halves, paced, runner
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.threads import Writer, helping_hands, opencv_in_line, ordered


@dataclass(frozen=True, slots=True)
class Settings:
    """How every picture of a run is treated.

    Attributes:
        kind: Output type, a name of ``imaging.compose``.
        look: Background picture and refinement of the output.
        threshold: Saliency from which on a pixel is wholly salient, all others not at all;
            ``None`` keeps the map soft.
        batch: Pictures per forward pass; ``None`` takes what is fastest, see ``runtime.batching``.
        max_pixels: Larger pictures are refused.
        overwrite: Replace outputs that exist, instead of skipping them.
        fail_fast: Stop at the first failure.
        compress: 0 to 9, how hard PNG is packed; ``None`` is fast.
    """

    kind: str
    look: Look
    threshold: float | None = None
    batch: int | None = 1
    max_pixels: int = MAX_PIXELS
    overwrite: bool = False
    fail_fast: bool = False
    compress: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job; ``error`` is set when it failed."""

    job: Job
    status: Literal["done", "skipped", "failed"]
    error: SodError | None = None

    def facts(self) -> dict[str, Any]:
        """Return what there is to say besides, by its name."""
        return {}


Report = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class _Item:
    """A job on its way: with its picture, then with the bytes of its result, or with an error."""

    job: Job
    frame: Frame | None = None
    data: bytes | None = None
    error: SodError | None = None


class _Ledger:
    """Outcomes as they become known, and whether the run is to stop."""

    def __init__(self, report: Report, fail_fast: bool) -> None:
        self.outcomes: list[Outcome] = []
        self.stop = threading.Event()
        self._report, self._fail_fast = report, fail_fast

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._report(outcome)
        if self._fail_fast and outcome.status == "failed":
            self.stop.set()


def sift(jobs: Sequence[Job], settings: Settings) -> tuple[list[Outcome], list[Job]]:
    """Part the jobs that need no network from those to do: loading one takes seconds.

    Returns:
        What becomes of those whose output is there, or whose input is missing or can be no
        picture, in order; and the others: with ``fail_fast`` none, if one has failed already.
    """
    known, todo = [], []
    for job in jobs:
        outcome = _foregone(job, settings)
        if outcome is None:
            todo.append(job)
            continue
        known.append(outcome)
        if settings.fail_fast and outcome.status == "failed":
            return known, []
    return known, todo


def infer(
    jobs: Sequence[Job], predictor: Predictor, settings: Settings, report: Report
) -> list[Outcome]:
    """Work through ``jobs``; one that fails leaves the others as they are.

    Args:
        jobs: Inputs with their outputs, which are replaced if they exist; see :func:`sift`.
        predictor: The loaded network.
        settings: See :class:`Settings`.
        report: Called with each outcome as it becomes known.

    Returns:
        All outcomes; with ``fail_fast`` those up to the first failure.

    Raises:
        DeviceError: If the device has not enough memory even for one picture.
        WeightsError: If the network's answers are not finite.
    """
    ledger = _Ledger(report, settings.fail_fast)

    def write(item: object) -> None:
        if not ledger.stop.is_set():
            ledger.add(_write(cast(_Item, item)))

    def encode(item: object) -> object:
        return item if ledger.stop.is_set() else _encode(cast(_Item, item), settings)

    wanted = takewhile(lambda job: not ledger.stop.is_set(), jobs)
    hands = helping_hands()
    items = ordered(partial(_read, settings), wanted, hands)
    writer = Writer(write, hands + 1, prepare=encode, threads=hands)
    work = partial(_predict, predictor)
    with opencv_in_line(), closing(items), writer:
        for item in paced(work, items, backend=runner(predictor), batch=settings.batch):
            writer.put(item)
    return ledger.outcomes


def _foregone(job: Job, settings: Settings) -> Outcome | None:
    if job.exists() and not settings.overwrite:
        return Outcome(job, "skipped")
    try:
        if job.input.path is not None:
            check_file(job.input.path, picture=job.input.kind == "picture")
    except SodError as error:
        return Outcome(job, "failed", error)
    return None


def _read(settings: Settings, job: Job) -> _Item:
    try:
        return _Item(job, frame=read_input(job.input, max_pixels=settings.max_pixels))
    except SodError as error:
        return _Item(job, error=error)


def _predict(predictor: Predictor, group: Sequence[_Item]) -> list[_Item]:
    """Answer a group in one batch, or in halves as long as memory does not suffice."""
    frames = [item.frame for item in group if item.frame is not None]
    answers = iter(in_halves(predictor.predict, frames))
    return [item if item.frame is None else replace(item, frame=next(answers)) for item in group]


def _encode(item: _Item, settings: Settings) -> _Item:
    if item.frame is None:
        return item
    job, frame = item.job, in_srgb(item.frame) if needs_srgb(settings.kind) else item.frame
    try:
        data = encode_for(
            job.target,
            render(frame, settings),
            frame.icc,
            compress=settings.compress,
            piped=job.piped,
        )
    except SodError as error:
        return _Item(job, error=error)
    return _Item(job, data=data)


def _write(item: _Item) -> Outcome:
    if item.data is None:
        return Outcome(item.job, "failed", item.error)
    try:
        put_picture(item.data, item.job.target)
    except SodError as error:
        return Outcome(item.job, "failed", error)
    return Outcome(item.job, "done")


def render(frame: Frame, settings: Settings) -> Pixels:
    """Make the output of a frame that has its saliency; shapes as of ``imaging.compose``."""
    if settings.threshold is not None and frame.saliency is not None:
        frame = replace(frame, saliency=binarise(frame.saliency, settings.threshold))
    return compose(settings.kind, frame, settings.look)
