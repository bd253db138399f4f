"""The loop of a camera: always its newest picture, answered, shown and recorded."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

from sodcli.errors import SourceError
from sodcli.frame import Frame
from sodcli.infer.photos import render
from sodcli.infer.recording import Recording
from sodcli.io.camera.capture import Camera
from sodcli.io.camera.window import Window
from sodcli.io.settings import InferSettings
from sodcli.runtime.threads import Newest, raise_failure

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


_TURN_S: Final = 0.02  # how long a window may wait for its turn
_SPAN_S: Final = 2.0  # over which the rate is measured


class Meter:
    """Measures a rate over the last two seconds.

    Attributes:
        count: Ticks in all.
        seconds: From the first to the last of them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start at nought; ``clock`` counts seconds."""
        self.count, self.seconds = 0, 0.0
        self._clock, self._start = clock, 0.0
        self._recent: deque[float] = deque()

    def tick(self) -> None:
        """Count one."""
        now = self._clock()
        self._start = self._start if self.count else now
        self.count, self.seconds = self.count + 1, now - self._start
        self._recent.append(now)
        while now - self._recent[0] > _SPAN_S:
            self._recent.popleft()

    @property
    def rate(self) -> float:
        """Ticks per second of late; 0 as long as there are not two."""
        lasted = self._recent[-1] - self._recent[0] if self._recent else 0.0
        return (len(self._recent) - 1) / lasted if lasted else 0.0

    @property
    def mean(self) -> float:
        """Ticks per second over all the time; 0 as long as there are not two."""
        return (self.count - 1) / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        return f"{self.rate:.1f} fps" if self.rate else ""


def live(
    camera: Camera,
    answer: Callable[[Frame], Frame],
    settings: InferSettings,
    *,
    window: Window | None = None,
    recording: Recording | None = None,
    meter: Meter | None = None,
    report: Callable[[Meter], None] = lambda meter: None,
) -> bool:
    """Answer the newest picture of a camera again and again, until something ends it.

    Pictures that come while one is being answered are dropped but for the newest, so that what is
    shown never falls behind. The loop runs in the calling thread, which must be the main one if
    there is a window. The recording is put in place before this returns or raises.

    Args:
        camera: Open; it stays so.
        answer: From ``stream.live_predictor``.
        settings: The run's settings: the first style, ``threshold``, ``frames`` and ``show_fps``.
        window: Shows the results; closing it ends the loop.
        recording: Takes the results, too.
        meter: Counts the answers.
        report: Called after each of them.

    Returns:
        Whether Ctrl-C ended it; any other end that was asked for is ``False``.

    Raises:
        SourceError: If the camera no longer delivers.
        SinkError: If the recording cannot be written.
        DeviceError: If the device has not enough memory.
    """
    meter, style = meter or Meter(), settings.styles[0]
    with recording or nullcontext(), window or nullcontext(), Capture(camera) as capture:
        try:
            while settings.frames is None or meter.count < settings.frames:
                shot = capture.newest(_TURN_S)
                if shot is not None:
                    frame, came_s = shot
                    pixels = render(answer(frame), style, settings)
                    meter.tick()
                    if recording is not None:
                        recording.put(pixels, came_s)
                    if window is not None:
                        window.show(pixels, str(meter) if settings.show_fps else "")
                    report(meter)
                if window is not None and not window.wanted():
                    return False
        except KeyboardInterrupt:
            return True
    return False
