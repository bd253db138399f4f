"""Record a live stream in a thread, so that encoding never holds up the picture on the screen."""

import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import PipelineError, UsageError
from sodcli.io.films.frame_folder import FrameFolder
from sodcli.io.films.write import FilmWriter
from sodcli.io.settings import InferSettings
from sodcli.io.sinks import Job, plan_outputs
from sodcli.io.sources import Input
from sodcli.runtime.threads import Newest, raise_failure
from sodcli.text import display_name

_AHEAD: Final = 8  # pictures, the time an encoder takes to start
_POLL_S: Final = 0.1  # Windows hears of Ctrl-C only between two waits


def plan_recording(camera: str, settings: InferSettings) -> Job:
    """Decide where a recording goes, by the rules for films; before any work is done.

    Args:
        camera: What the recording is called in a folder.
        settings: The run's settings; ``out`` is a film file or a folder.

    Raises:
        UsageError: If it exists, or container, codec and alpha do not go together.
    """
    (job,) = plan_outputs([Input(Path(camera), kind="film")], settings)
    if job.exists() and not settings.overwrite:
        raise UsageError(f"{display_name(job.output)}: exists; --overwrite replaces it")
    return job


@dataclass(frozen=True, slots=True)
class _Shot:
    pixels: NDArray[np.uint8]
    at_s: float


class Recording:
    """A film of pictures that come at times of their own; a context manager.

    Each picture is written once, with the time it was taken at, so that the film plays in real time
    however fast the network is: its frame rate varies. Should the encoder be slower than the
    pictures come, it takes the newest and leaves out those in between.

    The end of the ``with`` block puts the film in place whole, whatever ended it: a camera has no
    end of its own, and Ctrl-C or an unplugged camera is how its recordings end. Only Ctrl-C while
    the film is being finished, or a failure to write it, leaves nothing behind.

    Attributes:
        output: The film, or the folder of its frames, as one would type it.
        frames: How many pictures it has, once it is whole.
        seconds: How long it lasts, once it is whole.
        done: Whether the film is in place.
    """

    def __init__(self, job: Job, rate: Fraction, codec: str | None = None) -> None:
        """Prepare a film.

        Args:
            job: From ``plan_recording``.
            rate: The camera's frames per second; the last picture is shown for one such frame.
            codec: As after ``--codec``.
        """
        self.output, self.frames, self.seconds, self.done = job.output, 0, 0.0, False
        self._job, self._rate, self._codec = job, rate, codec
        self._box: Newest[_Shot] = Newest(_AHEAD)
        self._abort = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sod-recording", daemon=True)

    def __enter__(self) -> "Recording":
        self._thread.start()
        return self

    def put(self, pixels: NDArray[np.uint8], at_s: float) -> None:
        """Hand over a picture; never waits.

        Args:
            pixels: ``(H, W)``, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA, uint8, always the same.
            at_s: When it was taken, in seconds from any moment.

        Raises:
            SodError: If writing an earlier one failed.
        """
        raise_failure(self._failure, "recording")
        self._box.put(_Shot(pixels, at_s))

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._box.close()
        try:
            while self._thread.is_alive():
                self._thread.join(_POLL_S)
        except KeyboardInterrupt:
            self._abort.set()
            self._thread.join()
            raise
        if kind is None:
            raise_failure(self._failure, "recording")

    def _run(self) -> None:
        try:
            first = self._box.get()
            if first is not None:
                self._write(first)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._failure = error

    def _write(self, first: _Shot) -> None:
        with self._sink(first.pixels) as film:
            shot: _Shot | None = first
            while shot is not None:
                film.write(shot.pixels, shot.at_s - first.at_s)
                if self._abort.is_set():
                    raise PipelineError("given up")
                shot = self._box.get()
        self.frames, self.seconds, self.done = film.frames, film.seconds, True

    def _sink(self, pixels: NDArray[np.uint8]) -> FilmWriter | FrameFolder:
        target = cast(Path, self._job.target)
        if self._job.frames:
            return FrameFolder(target, rate=self._rate)
        height, width, *channels = pixels.shape
        alpha, size_wh = channels == [4], (width, height)
        return FilmWriter(target, size_wh=size_wh, rate=self._rate, alpha=alpha, codec=self._codec)
