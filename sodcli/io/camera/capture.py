"""A camera as a source of frames."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any, Final

import cv2
import numpy as np

from sodcli.errors import SourceError, UsageError
from sodcli.frame import Frame
from sodcli.process import silent_stderr

USUAL_RATE: Final = Fraction(30)
_LAST_NUMBER: Final = 99  # from 100 on OpenCV takes the hundreds for one of its drivers
_FASTEST: Final = 120  # frames per second; drivers that know no rate say 0, 1000 or more
_RETRY_S: Final = 0.02


def camera_number(sources: Sequence[str]) -> int | None:
    """Return the number of the camera that the arguments name; ``None`` if they name files.

    Digits alone are a camera; a file called ``0`` is written ``./0``.

    Raises:
        UsageError: If a camera stands beside another source.
    """
    cameras = [source for source in sources if source.isascii() and source.isdigit()]
    if not cameras:
        return None
    if len(sources) > 1:
        raise UsageError(
            f"{cameras[0]} is a camera, and a camera is the only source of its run;"
            f" a file of that name is ./{cameras[0]}"
        )
    return int(cameras[0])


class Camera:
    """An open camera; a context manager.

    Attributes:
        label: What messages and files call it.
        rate: Frames per second as the driver says, or 30 where it does not know.
    """

    def __init__(self, number: int, device: cv2.VideoCapture, *, patience_s: float = 2.0) -> None:
        self.label = f"camera {number}"
        self.rate = _rate(device.get(cv2.CAP_PROP_FPS))
        self._name, self._device, self._patience_s = f"camera{number}", device, patience_s
        self._index = 0
        self._reading = threading.Lock()
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # old pictures must not wait in the driver

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def read(self) -> Frame:
        """Wait for the next picture.

        Many cameras fail to deliver their very first ones, so a failure is tried again for
        ``patience_s`` seconds.

        Returns:
            The picture as RGB; ``index`` counts them from 0.

        Raises:
            SourceError: If the camera no longer delivers.
        """
        until = time.monotonic() + self._patience_s
        while True:
            there, bgr = self._try()
            if there and bgr is not None and bgr.size:
                break
            if time.monotonic() > until:
                raise SourceError(f"{self.label}: no more pictures; is it still plugged in?")
            time.sleep(_RETRY_S)
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        self._index += 1
        return Frame(rgb, self._index - 1, self._name)

    def close(self) -> None:
        """Give the camera back.

        Drivers crash when that happens during a read. One that hangs keeps its camera until the
        program ends.
        """
        if self._reading.acquire(timeout=self._patience_s):
            self._device.release()

    def _try(self) -> tuple[bool, Any]:
        with self._reading, suppress(cv2.error):  # which is as good as no picture
            return self._device.read()
        return False, None


def open_camera(
    number: int, *, opener: Callable[[int], cv2.VideoCapture] | None = None, patience_s: float = 2.0
) -> Camera:
    """Open camera ``number``; 0 is the first.

    OpenCV is kept from the terminal from here on, and the drivers below it while they look for it.

    Args:
        number: As the system counts its cameras.
        opener: Opens the device; by default ``cv2.VideoCapture``.
        patience_s: How long a camera may fail to deliver before it counts as gone.

    Raises:
        SourceError: If there is none, or it cannot be opened.
    """
    if number > _LAST_NUMBER:
        raise SourceError(f"camera {number}: no such camera; the first one is 0")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    with silent_stderr():
        device = (opener or cv2.VideoCapture)(number)
        opened = device.isOpened()
    if not opened:
        device.release()
        raise SourceError(
            f"camera {number}: cannot be opened; is it plugged in, free, and allowed for this"
            " program?"
        )
    return Camera(number, device, patience_s=patience_s)


def _rate(said: float) -> Fraction:
    """Bring what a driver says of its rate to a fraction, as 29.97 to 2997/100."""
    return Fraction(said).limit_denominator(1001) if 1 <= said <= _FASTEST else USUAL_RATE
