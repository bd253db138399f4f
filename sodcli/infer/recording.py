"""Record a live stream in a thread, so that encoding does not delay the display."""

import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

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

_AHEAD: Final = 8  # pictures queued at most; covers the start of the encoder
_POLL_S: Final = 0.1  # on Windows, Ctrl-C is only handled between two waits


def plan_recording(camera: str, settings: InferSettings) -> Job:
    """Return the job of a recording, with its output path chosen as for films.

    Args:
        camera: File name stem of the recording if ``settings.out`` is a folder.
        settings: The run's settings; ``out`` is a film file or a folder.

    Raises:
        UsageError: If the output exists, or container, codec and alpha are incompatible.
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
    """Writes a film of pictures that arrive at irregular times; a context manager.

    Each picture is written once, with its time, so the film has a variable frame rate and plays in
    real time however fast the network is. If the encoder is slower than the pictures arrive, the
    oldest waiting pictures are dropped.

    The film is completed at the end of the ``with`` block, also after an exception, because camera
    recordings usually end by Ctrl-C or by unplugging the camera. No film is written if writing it
    fails, or on Ctrl-C while it is being completed.

    Attributes:
        target: The film, or the folder of its frames; ``None`` for standard output.
        output: The same as text for messages.
        frames: Number of pictures in the completed film.
        done: Whether the film is complete.
    """

    def __init__(self, job: Job, rate: Fraction, settings: InferSettings) -> None:
        """Prepare a film.

        Args:
            job: From ``plan_recording``.
            rate: The camera's frames per second; the last picture is shown for one such frame.
            settings: The run's settings; ``codec``, ``quality`` and ``compress`` are used.
        """
        self.target = job.target
        self.output, self.frames, self.done = job.output, 0, False
        self._job, self._rate, self._settings = job, rate, settings
        self._box: Newest[_Shot] = Newest(_AHEAD)
        self._abort = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sod-recording", daemon=True)

    def __enter__(self) -> "Recording":
        self._thread.start()
        return self

    def put(self, pixels: NDArray[np.uint8], at_s: float) -> None:
        """Queue a picture; never waits.

        Args:
            pixels: ``(H, W)``, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA, uint8; all pictures have
                the same shape.
            at_s: Time of the picture in seconds, from any fixed origin.

        Raises:
            SodError: If writing an earlier picture failed.
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
        self.frames, self.done = film.frames, True

    def _sink(self, pixels: NDArray[np.uint8]) -> FilmWriter | FrameFolder:
        settings = self._settings
        if self._job.frames:
            return FrameFolder(self.target, rate=self._rate, compress=settings.compress)
        height, width, *channels = pixels.shape
        return FilmWriter(
            self.target,
            size_wh=(width, height),
            rate=self._rate,
            alpha=channels == [4],
            codec=settings.codec,
            quality=settings.quality,
        )
