"""The film loop of ``sod infer``: decode, predict and encode in parallel, in bounded memory."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from sodcli.errors import SinkError, SourceError, UsageError
from sodcli.files import temporary_folder
from sodcli.frame import Frame
from sodcli.imaging.blend import over_white
from sodcli.imaging.compose import OF_PLANES, Pixels
from sodcli.imaging.planes import to_rgb
from sodcli.imaging.tensors import fit_map
from sodcli.infer.photos import Outcome, Report
from sodcli.io.films.formats import PIPED_SUFFIX
from sodcli.io.films.frame_folder import FrameFolder
from sodcli.io.films.read import FilmReader, loop_film
from sodcli.io.films.sequence import SequenceReader
from sodcli.io.films.write import FilmWriter
from sodcli.io.pipe import STDIN, Pipe
from sodcli.io.settings import InferSettings, Style
from sodcli.io.sinks import Job
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.stream import saliency_stream, share_repeats
from sodcli.runtime.threads import Writer, opencv_in_line, picture_threads, prefetch
from sodcli.text import plural, reason_of

_WAITING_BYTES: Final = 2**26  # most memory of the frames queued between two stages
_MOST_WAITING: Final = 16
_PIXEL_BYTES: Final = 7  # RGB and float32 saliency
_OF_ONE_FILM: Final = (SourceError, SinkError, UsageError)  # other errors end the whole run


@dataclass(frozen=True, slots=True)
class FilmOutcome(Outcome):
    """The result of one film job.

    Attributes:
        frames: Number of frames written.
        took_s: Processing time in seconds.
        warning: A problem with the film that did not prevent the result.
    """

    frames: int = 0
    took_s: float = 0.0
    warning: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return further entries for the JSON document, by name."""
        rate = round(self.frames / self.took_s, 2)
        seconds = round(self.took_s, 3)
        return {"frames": self.frames, "seconds": seconds, "fps": rate, "warning": self.warning}


@dataclass(frozen=True, slots=True)
class Position:
    """Progress of a film: name, frames written, total frames if known, position in seconds."""

    name: str
    done: int
    expected: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Watcher:
    """Callbacks of a run: for outcomes, for progress, and for messages to the user."""

    report: Report
    at: Callable[[Position], None] = lambda position: None
    note: Callable[[str], None] = lambda text: None


def infer_films(
    jobs: Sequence[Job],
    predictor: Predictor,
    settings: InferSettings,
    watcher: Watcher,
) -> list[Outcome]:
    """Process the films of ``jobs`` in order; a film that fails does not affect the others.

    Args:
        jobs: Films with their outputs, which are replaced if they exist; see ``sift``.
        predictor: The loaded network; image models process frames, clip models process clips.
        settings: The run's settings; ``batch`` is in frames, or in clips.
        watcher: Called with outcomes, progress and messages during the run.

    Returns:
        All outcomes; with ``fail_fast`` those up to the first failure.

    Raises:
        DeviceError: If the device does not have enough memory.
        WeightsError: If the network's outputs are not finite.
        KeyboardInterrupt: On Ctrl-C; the frames processed so far are kept in the output.
    """
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        for job in jobs:
            outcome = _outcome(job, predictor, settings, watcher, stack)
            outcomes.append(outcome)
            watcher.report(outcome)
            if settings.fail_fast and outcome.status == "failed":
                break
    return outcomes


def _outcome(
    job: Job,
    predictor: Predictor,
    settings: InferSettings,
    watcher: Watcher,
    stack: ExitStack,
) -> Outcome:
    """Process one film; ``stack`` holds what lasts until the end of the run."""
    start = time.perf_counter()
    try:
        reader = _reader(job, settings, stack)
        if reader.info.colour.hdr:
            watcher.note(f"{job.source}: HDR ({reader.info.colour.hdr}), tone-mapped to SDR")
        sink = _film(reader, job, predictor, settings, watcher)
    except _OF_ONE_FILM as error:
        return Outcome(job, "failed", error)
    took = time.perf_counter() - start
    warning = "; ".join(filter(None, (reader.damage, sink.damage))) or None
    if isinstance(sink, FilmWriter) and sink.lost:
        container = job.target.suffix if job.target else PIPED_SUFFIX
        watcher.note(f"{job.output}: {container} does not keep {' and '.join(sink.lost)}")
    return FilmOutcome(job, "done", frames=sink.frames, took_s=took, warning=warning)


def _film(
    reader: FilmReader | SequenceReader,
    job: Job,
    predictor: Predictor,
    settings: InferSettings,
    watcher: Watcher,
) -> FilmWriter | FrameFolder:
    """Process one film and return its writer."""
    sink = _sink(reader, job, settings)
    planar = isinstance(sink, FilmWriter) and sink.planar and job.style.kind in OF_PLANES
    if isinstance(reader, FilmReader) and predictor.large is None:
        reader.as_planes(max(predictor.size_hw))
    small = predictor.spec.clip_len == 1
    width, height = reader.info.size_wh
    ahead = max(2, min(_MOST_WAITING, _WAITING_BYTES // (_PIXEL_BYTES * width * height)))

    def draw(item: object) -> tuple[Pixels, float | None]:
        frame, style = cast(tuple[Frame, Style], item)
        soft = settings.threshold is None
        frame = _completed(frame, small=small, planar=planar, soft=soft)
        return style.render(frame, settings.threshold), frame.seconds

    def write(item: object) -> None:
        sink.write(*cast(tuple[Pixels, float | None], item))
        watcher.at(Position(job.source, sink.frames, reader.expected, sink.seconds))

    try:
        with ExitStack() as stack:
            next_style = _style_source(stack, job.style, reader, settings.max_pixels)
            frames = stack.enter_context(closing(prefetch(share_repeats(reader), ahead)))
            stack.enter_context(sink)
            stack.enter_context(opencv_in_line())
            threads = min(ahead, picture_threads())
            with Writer(write, ahead, prepare=draw, threads=threads) as writer:
                stream = saliency_stream(
                    predictor,
                    frames,
                    batch=settings.batch,
                    steady=settings.steady,
                    small=small,
                )
                for frame in stream:
                    writer.put((frame, next_style()))
            if isinstance(sink, FilmWriter) and reader.end_s is not None:
                sink.extend_to(reader.end_s)
    except KeyboardInterrupt:
        if sink.partial is not None:
            watcher.note(f"kept {plural(sink.frames, 'frame')} in {sink.partial}")
        raise
    return sink


def _completed(frame: Frame, *, small: bool, planar: bool, soft: bool) -> Frame:
    """Return a frame from the stream with all that its style needs at its own size.

    Args:
        frame: With planes, its ``rgb`` may be smaller.
        small: Its saliency is that of ``Predictor.predict_small``.
        planar: The style takes planes and a soft saliency of any size.
        soft: The saliency is not made binary, which has to happen at full size.
    """
    if frame.planes is not None and not planar:
        whole = frame.rgb.shape[:2] == frame.size_hw  # small films are not shrunk for the network
        frame = replace(frame, rgb=frame.rgb if whole else to_rgb(frame.planes), planes=None)
    if frame.saliency is None or not small or (frame.planes is not None and soft):
        return frame
    return frame.with_saliency(fit_map(frame.saliency, frame.size_hw))


def _reader(job: Job, settings: InferSettings, stack: ExitStack) -> FilmReader | SequenceReader:
    piped = job.input.piped
    if job.input.is_sequence:
        return SequenceReader(
            job.input.pictures or cast(Pipe, piped),
            rate=settings.rate,
            start_s=settings.start_s,
            lasts_s=settings.duration_s,
            frames=settings.frames,
            any_size=job.frames,
            max_pixels=settings.max_pixels,
        )
    if piped is not None and piped.film is None:
        piped.save_film(stack.enter_context(_scratch_folder()))
    return FilmReader(
        cast(Path, job.input.path or (piped and piped.film)),
        name=None if job.input.path else STDIN,
        start_s=settings.start_s,
        lasts_s=settings.duration_s,
        frames=settings.frames,
        max_pixels=settings.max_pixels,
    )


def _sink(
    reader: FilmReader | SequenceReader, job: Job, settings: InferSettings
) -> FilmWriter | FrameFolder:
    if job.frames:
        return FrameFolder(
            job.target,
            rate=reader.rate,
            compress=settings.compress,
            quality=settings.quality,
            piped=job.piped,
        )
    film = reader.path if isinstance(reader, FilmReader) else None
    return FilmWriter(
        job.target,
        size_wh=reader.info.size_wh,
        rate=reader.rate,
        alpha=job.style.alpha,
        codec=settings.codec,
        quality=settings.quality,
        sound=settings.sound or (film if settings.audio and reader.info.sound else None),
        original=film,
        start_s=settings.start_s,
        lasts_s=None if reader.expected is None else float(reader.expected / reader.rate),
        software=settings.software(job.style, film=True),
    )


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """Yield a temporary folder of the system, for a film from standard input."""
    try:
        with temporary_folder(Path(tempfile.gettempdir()), STDIN) as folder:
            yield folder
    except OSError as error:
        raise SourceError(f"{STDIN}: no temporary folder: {reason_of(error)}") from error


def _style_source(
    stack: ExitStack, style: Style, reader: FilmReader | SequenceReader, max_pixels: int
) -> Callable[[], Style]:
    """Return a function for the style of the next frame; it advances a background film."""
    if style.film is None:
        return lambda: style
    ahead = prefetch(loop_film(style.film, reader.rate, max_pixels=max_pixels), 2)
    backs: Iterator[Frame] = stack.enter_context(closing(ahead))

    def next_style() -> Style:
        back = next(backs)
        background = over_white(back.rgb, back.alpha)
        return replace(style, look=replace(style.look, background=background))

    return next_style
