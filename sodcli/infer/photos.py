"""The photo loop of ``sod infer``: read, predict, compose and write in parallel."""

import errno
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import SodError, SourceError
from sodcli.frame import Frame
from sodcli.imaging.compose import needs_srgb
from sodcli.imaging.framing import SUBJECT, framed, subject_box
from sodcli.imaging.matte import UNCLEANED_TYPES, certainty, clean
from sodcli.infer.sheet import Preview, make_preview, preview_of_result
from sodcli.io.pictures.encode import encode_picture
from sodcli.io.pictures.read import check_file, read_picture
from sodcli.io.settings import InferSettings
from sodcli.io.sinks import Job, put_picture
from sodcli.io.sources import read_input
from sodcli.runtime.batching import batched, retry_smaller
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.threads import Writer, opencv_in_line, ordered, picture_threads
from sodcli.text import display_name

_DISK_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # not of a single file
NO_SUBJECT: Final = 0.2  # certainty below which a photo is reported to have no subject


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one job; ``error`` is set if it failed.

    Attributes:
        job: The job.
        status: Its result.
        error: Why it failed.
        certainty: Certainty of the map, see ``imaging.matte.certainty``.
        remark: A message to the user about a finished photo.
        preview: Small pictures for the HTML report, if there is one.
        other_settings: Whether the existing output was made with other settings.
    """

    job: Job
    status: Literal["done", "skipped", "failed"]
    error: SodError | None = None
    certainty: float | None = None
    remark: str | None = None
    preview: Preview | None = None
    other_settings: bool = False

    def facts(self) -> dict[str, Any]:
        """Return further entries for the JSON document, by name."""
        facts: dict[str, Any] = {}
        if self.certainty is not None:
            facts["certainty"] = round(self.certainty, 3)
        if self.other_settings:
            facts["other_settings"] = True
        return facts


Report = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class _Item:
    """The jobs of one picture in the pipeline, with its frame, then its results, or an error."""

    jobs: tuple[Job, ...]
    frame: Frame | None = None
    error: SodError | None = None
    results: tuple[bytes | SodError | None, ...] = ()  # one per job, ``None`` for a kept one
    certainty: float | None = None
    remark: str | None = None
    preview: Preview | None = None


def ends_run(outcome: Outcome, settings: InferSettings) -> bool:
    """Return True if no further input is tried after this outcome.

    This is so after a failure with ``fail_fast``, or if the disk is full or read-only and all
    results go to the same place.
    """
    cause = None if outcome.error is None else outcome.error.__cause__
    full = isinstance(cause, OSError) and cause.errno in _DISK_ERRORS
    one_place = settings.out is not None or len(settings.sources) == 1
    return outcome.status == "failed" and (settings.fail_fast or (full and one_place))


def sift(jobs: Sequence[Job], settings: InferSettings) -> tuple[list[Outcome], list[Job]]:
    """Separate the jobs that need no network from the others, because loading one takes seconds.

    A photo whose output exists is among the others too if there is a report, which shows it.

    Returns:
        The outcomes, in order, of jobs whose output exists or whose input is missing or not a
        picture; and the remaining jobs, which are none if ``fail_fast`` is set and a job failed.
    """
    known, todo = [], []
    for job in jobs:
        outcome = known_outcome(job, settings)
        if outcome is None:
            todo.append(job)
            continue
        if settings.report and outcome.status == "skipped" and job.input.kind == "picture":
            todo.append(replace(job, kept=True, kept_otherwise=outcome.other_settings))
            continue
        known.append(outcome)
        if settings.fail_fast and outcome.status == "failed":
            return known, []
    return known, todo


def by_input(jobs: Iterable[Job]) -> list[tuple[Job, ...]]:
    """Group consecutive jobs with the same input, for which the network runs only once."""
    return [tuple(group) for _, group in groupby(jobs, key=lambda job: id(job.input))]


def infer(
    jobs: Sequence[Job], predictor: Predictor | None, settings: InferSettings, report: Report
) -> list[Outcome]:
    """Process ``jobs``; a job that fails does not affect the others.

    Args:
        jobs: Inputs with their outputs, which are replaced if they exist; see :func:`sift`.
        predictor: The loaded network; ``None`` if ``settings.mask`` replaces it.
        settings: The run's settings.
        report: Called with each outcome as soon as it is known.

    Returns:
        All outcomes, or those up to the one that ends the run, see :func:`ends_run`.

    Raises:
        DeviceError: If the device does not have enough memory for one picture.
        WeightsError: If the network's outputs are not finite.
    """
    outcomes: list[Outcome] = []
    ended = threading.Event()

    def write(item: object) -> None:
        results = _written(cast(_Item, item))
        while not ended.is_set() and (outcome := next(results, None)) is not None:
            outcomes.append(outcome)
            report(outcome)
            if ends_run(outcome, settings):
                ended.set()

    def encode(item: object) -> object:
        return item if ended.is_set() else _encode(cast(_Item, item), settings)

    wanted = takewhile(lambda group: not ended.is_set(), by_input(jobs))
    threads = picture_threads()
    items = ordered(partial(_read, settings), wanted, threads)
    writer = Writer(write, threads + 1, prepare=encode, threads=threads)
    with opencv_in_line(), closing(items), writer:
        for item in _answered(items, predictor, settings):
            writer.put(item)
    return outcomes


def _answered(
    items: Iterable[_Item], predictor: Predictor | None, settings: InferSettings
) -> Iterable[_Item]:
    if predictor is None:
        return items
    work = partial(_predict, predictor, settings)
    return batched(work, items, backend=predictor.batching, batch=settings.batch)


def known_outcome(job: Job, settings: InferSettings) -> Outcome | None:
    """Return the outcome of a job whose output exists, or whose input or mask is missing."""
    if job.exists() and not settings.overwrite:
        return Outcome(job, "skipped", other_settings=job.made_otherwise(settings))
    try:
        if job.input.path is not None:
            check_file(job.input.path, picture=job.input.kind == "picture")
        if job.input.path is not None and settings.mask is not None:
            from sodcli.infer.masks import find_mask  # brings the reader of data sets

            find_mask(settings.mask, job.input.path, job.input.root)
    except SodError as error:
        return Outcome(job, "failed", error)
    return None


def _read(settings: InferSettings, jobs: tuple[Job, ...]) -> _Item:
    try:
        frame = read_input(jobs[0].input, max_pixels=settings.max_pixels)
        if all(job.kept_otherwise for job in jobs):  # nothing for the network
            result = read_picture(cast(Path, jobs[0].target), max_pixels=settings.max_pixels)
            return _Item(jobs, preview=preview_of_result(frame, result))
        if settings.mask is not None:
            from sodcli.infer.masks import mask_of  # brings the reader of data sets

            root = jobs[0].input.root
            mask = mask_of(settings.mask, frame, settings.max_pixels, root)
            frame = frame.with_saliency(mask)
        if settings.box is not None:
            _box_slices(frame, settings.box)
        return _Item(jobs, frame)
    except SodError as error:
        return _Item(jobs, error=error)


def _box_slices(frame: Frame, box: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of ``box``; the last ones may exceed the photo.

    Raises:
        SourceError: If ``box`` lies outside the photo.
    """
    left, top, width, height = box
    rows, columns = slice(top, top + height), slice(left, left + width)
    if top >= frame.size_hw[0] or left >= frame.size_hw[1]:
        name = display_name(frame.origin or frame.name)
        raise SourceError(
            f"{name}: the photo is {frame.size_hw[1]}x{frame.size_hw[0]}, and --box lies outside"
        )
    return rows, columns


def _predict(predictor: Predictor, settings: InferSettings, group: Sequence[_Item]) -> list[_Item]:
    """Predict a group as one batch, or in smaller batches if memory runs out."""
    frames = [item.frame for item in group if item.frame is not None]
    if settings.box is None:
        answers = iter(retry_smaller(predictor.predict, frames))
    else:
        answers = iter(_predict_parts(predictor, frames, settings.box))
    return [item if item.frame is None else replace(item, frame=next(answers)) for item in group]


def _predict_parts(
    predictor: Predictor, frames: Sequence[Frame], box: tuple[int, int, int, int]
) -> Iterator[Frame]:
    """Predict the part of each frame inside ``box``; the saliency outside is 0."""
    places = [_box_slices(frame, box) for frame in frames]
    parts = [
        replace(frame, rgb=frame.rgb[at], alpha=None if frame.alpha is None else frame.alpha[at])
        for frame, at in zip(frames, places, strict=True)
    ]
    for frame, at, part in zip(
        frames, places, retry_smaller(predictor.predict, parts), strict=True
    ):
        saliency = np.zeros(frame.size_hw, np.float32)
        saliency[at] = part.saliency
        yield replace(frame, saliency=saliency)


def _encode(item: _Item, settings: InferSettings) -> _Item:
    """Compose and encode the results of one picture, and add its certainty, remark and preview."""
    frame = item.frame
    if frame is None or frame.saliency is None:
        return item
    sure = None if settings.mask else certainty(frame.saliency)
    cleaned = settings.clean and settings.mask is None  # a mask is as its painter wants it
    matte = clean(frame.saliency, frame.alpha) if cleaned else frame.saliency
    box = subject_box(matte, SUBJECT if settings.threshold is None else settings.threshold)
    results = tuple(
        None if job.kept else _encoded(job, frame, matte, box, settings) for job in item.jobs
    )
    remarks = [f"{frame.pages} pages, only the first is used"] if frame.pages > 1 else []
    if box is None or (sure is not None and sure < NO_SUBJECT):
        whole = ", not cropped" if box is None and settings.framing else ""
        what = "the mask is empty" if settings.mask else "nothing certain found"
        remarks.append(f"{what}{whole}")
    remark = (
        f"{display_name(frame.origin or frame.name)}: {'; '.join(remarks)}" if remarks else None
    )
    preview = make_preview(frame, matte) if settings.report else None
    return _Item(item.jobs, results=results, certainty=sure, remark=remark, preview=preview)


def _encoded(
    job: Job,
    frame: Frame,
    matte: NDArray[np.float32],
    box: tuple[int, int, int, int] | None,
    settings: InferSettings,
) -> bytes | SodError:
    if job.style.kind not in UNCLEANED_TYPES:
        frame = replace(frame, saliency=matte)
    try:
        if settings.framing is not None:
            frame = framed(frame, settings.framing, box)
        return encode_picture(
            job.style.render(frame, settings.threshold),
            job.suffix,
            icc=None if needs_srgb(job.style.kind) else frame.icc,
            compress=settings.compress,
            quality=settings.quality,
            dpi=frame.dpi,
            software=settings.software(job.style),
        )
    except SodError as error:
        return error


def _written(item: _Item) -> Iterator[Outcome]:
    """Write the results of one picture; yields each outcome."""
    results = item.results or (item.error,) * len(item.jobs)
    remark = item.remark
    made = partial(Outcome, certainty=item.certainty, preview=item.preview)
    for job, result in zip(item.jobs, results, strict=True):
        if result is None:
            yield made(job, "skipped", other_settings=job.kept_otherwise)
            continue
        if not isinstance(result, bytes):
            yield Outcome(job, "failed", result)
            continue
        try:
            put_picture(result, job.target)
        except SodError as error:
            yield Outcome(job, "failed", error)
        else:
            yield made(job, "done", remark=remark)
            remark = None  # printed once per photo
