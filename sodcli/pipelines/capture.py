"""The newest picture of a camera, read in a thread."""

import threading
import time
from typing import Final

from sodcli.errors import SourceError
from sodcli.frame import Frame
from sodcli.io.camera import Camera
from sodcli.pipelines.newest import Newest, raise_failure

_SILENCE_S: Final = 10.0  # a driver that says nothing for so long will not speak again
_JOIN_S: Final = 2.0


class Capture:
    """Reads a camera in a thread and keeps its newest picture; a context manager."""

    def __init__(self, camera: Camera, *, silence_s: float = _SILENCE_S) -> None:
        """Prepare to read ``camera``, which counts as gone after ``silence_s`` without a word."""
        self._camera, self._silence_s = camera, silence_s
        self._box: Newest[tuple[Frame, float]] = Newest()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._heard = 0.0
        self._thread = threading.Thread(target=self._run, name="sod-camera", daemon=True)

    def __enter__(self) -> "Capture":
        self._heard = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(min(_JOIN_S, self._silence_s))  # not for ever: a driver may hang

    def newest(self, timeout_s: float) -> tuple[Frame, float] | None:
        """Take the newest picture.

        Returns:
            The picture and when it came, in seconds of ``time.monotonic``; ``None`` if none came
            within ``timeout_s``.

        Raises:
            SourceError: If the camera no longer delivers.
        """
        shot = self._box.get(timeout_s)
        if shot is not None:
            return shot
        raise_failure(self._failure, "reading the camera")
        if time.monotonic() - self._heard > self._silence_s:
            raise SourceError(f"{self._camera.label}: no picture for {self._silence_s:g} s")
        return None

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                frame = self._camera.read()
                self._heard = time.monotonic()
                self._box.put((frame, self._heard))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._failure = error
        finally:
            self._box.close()
