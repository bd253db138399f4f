"""The camera loop of ``sod infer``: process, show and record the newest picture."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

from sodcli.errors import SourceError
from sodcli.frame import Frame
from sodcli.infer.recording import Recording
from sodcli.io.camera.capture import Camera
from sodcli.io.camera.window import Window
from sodcli.io.settings import InferSettings
from sodcli.runtime.threads import Newest, raise_failure

_JOIN_S: Final = 2.0


class Capture:
    """Reads a camera in a thread and keeps its newest picture; a context manager."""

    def __init__(self, camera: Camera) -> None:
        """Prepare to read; without a picture for ``camera.silence_s``, ``newest`` fails."""
        self._camera = camera
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
        self._thread.join(min(_JOIN_S, self._camera.silence_s))  # limited: a driver may hang

    def newest(self, timeout_s: float) -> tuple[Frame, float] | None:
        """Take the newest picture.

        Returns:
            The picture and its time of arrival in seconds of ``time.monotonic``; ``None`` if none
            arrived within ``timeout_s`` seconds.

        Raises:
            SourceError: If the camera no longer delivers.
        """
        shot = self._box.get(timeout_s)
        if shot is not None:
            return shot
        raise_failure(self._failure, "reading the camera")
        if time.monotonic() - self._heard > self._camera.silence_s:
            raise SourceError(f"{self._camera.label}: no picture for {self._camera.silence_s:g} s")
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


_TURN_S: Final = 0.02  # longest time between two updates of the window while no picture arrives
_SPAN_S: Final = 2.0  # time span over which the rate is measured


class Meter:
    """Measures a rate over the last two seconds.

    Attributes:
        count: Total number of ticks.
        seconds: Time from the first to the last tick.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start at zero; ``clock`` returns the time in seconds."""
        self.count, self.seconds = 0, 0.0
        self._clock, self._start = clock, 0.0
        self._recent: deque[float] = deque()

    def tick(self) -> None:
        """Count one tick."""
        now = self._clock()
        self._start = self._start if self.count else now
        self.count, self.seconds = self.count + 1, now - self._start
        self._recent.append(now)
        while now - self._recent[0] > _SPAN_S:
            self._recent.popleft()

    @property
    def rate(self) -> float:
        """Ticks per second over the last two seconds; 0 for fewer than two ticks."""
        lasted = self._recent[-1] - self._recent[0] if self._recent else 0.0
        return (len(self._recent) - 1) / lasted if lasted else 0.0

    @property
    def mean(self) -> float:
        """Ticks per second since the first tick; 0 for fewer than two ticks."""
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
    """Process the newest picture of a camera in a loop.

    The loop ends after ``settings.frames`` pictures, when the window is closed, on Ctrl-C, or on an
    error. Of the pictures that arrive while one is being processed only the newest is kept, so the
    display does not lag behind the camera. The loop runs in the calling thread, which must be the
    main thread if there is a window. The recording is finished before this function returns or
    raises.

    Args:
        camera: An open camera; it is not closed.
        answer: Adds the saliency to a frame; from ``stream.live_predictor``.
        settings: The run's settings; the first style, ``threshold``, ``frames`` and ``show_fps``
            are used.
        window: Shows the results.
        recording: Records the results.
        meter: Counts the processed pictures.
        report: Called with the meter after each picture.

    Returns:
        True if Ctrl-C ended the loop, False if it ended otherwise without an error.

    Raises:
        SourceError: If the camera no longer delivers pictures.
        SinkError: If the recording cannot be written.
        DeviceError: If the device does not have enough memory.
    """
    meter, style = meter or Meter(), settings.styles[0]
    with recording or nullcontext(), window or nullcontext(), Capture(camera) as capture:
        try:
            while settings.frames is None or meter.count < settings.frames:
                shot = capture.newest(_TURN_S)
                if shot is not None:
                    frame, came_s = shot
                    pixels = style.render(answer(frame), settings.threshold)
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
