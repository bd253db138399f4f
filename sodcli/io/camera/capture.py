"""Read frames from a camera or network stream."""

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any, Final

import cv2
import numpy as np

from sodcli.errors import SourceError, UsageError
from sodcli.frame import Frame
from sodcli.io.pictures import heic
from sodcli.io.pictures.decode import SUFFIXES
from sodcli.process import silent_stderr

_USUAL_RATE: Final = Fraction(30)
_LAST_NUMBER: Final = 99  # OpenCV reads the hundreds of larger numbers as a backend
_FASTEST: Final = 120  # frames per second; drivers report 0, 1000 or more if unknown
_RETRY_S: Final = 0.02
_ADDRESS: Final = re.compile(r"(rtsps?|rtmps?|https?|udp|rtp|srt|tcp)://", re.IGNORECASE)
_PAGE: Final = re.compile(r"https?://[^?#]*", re.IGNORECASE)  # without query and fragment
_PHOTOS: Final = (SUFFIXES | heic.SUFFIXES) - {".gif"}
_DEVICE: Final = re.compile(r"/dev/video(\d+)")
_SILENCE_MS: Final = 10_000  # timeout of opening and reading a stream
_RECONNECT_S: Final = 15.0  # time for which a broken stream is opened again
_FFMPEG_OPTIONS: Final = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_FFMPEG_LOG: Final = ("OPENCV_FFMPEG_LOGLEVEL", "-8")  # nothing; read once, at the first stream
# A playlist may refer to segments on servers, but not to local files.
_PROTOCOLS: Final = "http,https,tcp,tls,udp,rtp,rtsp,rtmp,rtmps,srt,crypto,httpproxy"


def live_source(sources: Sequence[str]) -> int | str | None:
    """Return the camera's number or the stream's address; ``None`` if the arguments name files.

    Digits alone are a camera; a file named ``0`` is given as ``./0``. ``/dev/video2`` is camera 2.

    Raises:
        UsageError: If an address is that of a photo, or a camera or stream is combined with
            another source.
    """
    for source in sources:
        _refuse_photo(source)
    live = [(one, found) for one in sources if (found := _live(one)) is not None]
    if not live:
        return None
    source, found = live[0]
    if len(sources) > 1:
        what = "a stream" if isinstance(found, str) else "a camera"
        hint = f"; a file of that name is ./{source}" if source.isdigit() else ""
        name = without_credentials(source)
        raise UsageError(f"{name} is {what}, and {what} is the only source of its run{hint}")
    return found


def _refuse_photo(source: str) -> None:
    """Raise ``UsageError`` for ``http://HOST/photo.jpg``, which is no stream."""
    page = _PAGE.match(source)
    if page and PurePosixPath(page[0]).suffix.lower() in _PHOTOS:
        raise UsageError(
            f"{without_credentials(source)}: of addresses, sod reads streams, and this is a photo; "
            "save it as a file first, or pipe it: curl -L ADDRESS | sod infer - -o FILE"
        )


def _live(source: str) -> int | str | None:
    if source.isascii() and source.isdigit():
        return int(source)
    if device := _DEVICE.fullmatch(source):
        return int(device[1])
    return source if _ADDRESS.match(source) else None


class Camera:
    """An open camera or stream; a context manager.

    Attributes:
        label: Its name in messages.
        rate: Frames per second as reported by the driver, or 30 if unknown.
        silence_s: Time in seconds without a picture after which the device counts as hanging. For a
            stream it covers a read and a connection that time out, and the attempts between them.
    """

    def __init__(
        self,
        source: int | str,
        device: cv2.VideoCapture,
        *,
        timeout_s: float = 2.0,
        reopen: Callable[[], cv2.VideoCapture] | None = None,
    ) -> None:
        """Read from an open device.

        Args:
            source: The camera's number or the stream's address.
            device: The open device.
            timeout_s: How long reads may fail before the camera counts as gone, in seconds.
            reopen: Reconnects to a stream after a failed read; ``None`` for cameras.
        """
        self.label, self._name = live_label(source), live_name(source)
        self.rate = _rate(device.get(cv2.CAP_PROP_FPS))
        self._device, self._timeout_s, self._reopen = device, timeout_s, reopen
        self.silence_s = _SILENCE_MS / 1000 if reopen is None else _SILENCE_MS / 500 + timeout_s
        self._finite = isinstance(source, str) and device.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        self._index = 0
        self._size_wh: tuple[int, int] | None = None
        self._reading = threading.Lock()
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # read recent pictures, not buffered ones

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def read(self) -> Frame:
        """Wait for the next picture.

        A failed read is retried for ``timeout_s`` seconds, because the first reads of many cameras
        fail.

        Returns:
            The picture as RGB, with ``index`` counted from 0; all have the size of the first one.

        Raises:
            SourceError: If the stream has ended, or no picture arrives in time.
        """
        until = None
        while True:
            there, bgr = self._try()
            if there and bgr is not None and bgr.size:
                break
            if self._finite and self._index:
                raise SourceError(f"{self.label}: the stream has ended")
            until = until or time.monotonic() + self._timeout_s  # the first read may take long
            if time.monotonic() > until:
                hint = "; is it still plugged in?" if self._reopen is None else ""
                raise SourceError(f"{self.label}: no more pictures{hint}")
            time.sleep(_RETRY_S)
            self._reconnect()
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        self._size_wh = self._size_wh or (rgb.shape[1], rgb.shape[0])
        if rgb.shape[1::-1] != self._size_wh:  # a stream that came back, or changed
            rgb = np.asarray(cv2.resize(rgb, self._size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        self._index += 1
        return Frame(rgb, self._index - 1, self._name)

    def close(self) -> None:
        """Release the camera, unless a read in progress takes longer than ``timeout_s``.

        Drivers crash if a camera is released during a read. If the read hangs, the camera stays
        open until the program ends.
        """
        if self._reading.acquire(timeout=self._timeout_s):
            self._device.release()

    def _reconnect(self) -> None:
        if self._reopen is not None:
            with self._reading:
                self._device.release()
                self._device = self._reopen()

    def _try(self) -> tuple[bool, Any]:
        with self._reading, suppress(cv2.error):  # treated as no picture
            return self._device.read()
        return False, None


def open_camera(
    source: int | str,
    *,
    opener: Callable[[int], cv2.VideoCapture] | None = None,
    timeout_s: float = 2.0,
) -> Camera:
    """Open a camera by its number or a stream by its address.

    The logs of OpenCV and its ffmpeg are disabled from here on. Standard error is suppressed while
    the device is opened, because drivers write to it.

    Args:
        source: Number of a camera, from 0, or an address such as ``rtsp://``, ``http://`` or
            ``udp://``.
        opener: Opens the device of a camera; ``None`` is ``cv2.VideoCapture``.
        timeout_s: How long reads of a camera may fail before it counts as gone, in seconds.

    Raises:
        SourceError: If the camera or stream does not exist or cannot be opened.
    """
    label = live_label(source)
    if isinstance(source, int) and source > _LAST_NUMBER:
        raise SourceError(f"{label}: no such camera; the first one is 0")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    os.environ.setdefault(*_FFMPEG_LOG)
    with silent_stderr():
        device = (
            _open_stream(source)
            if isinstance(source, str)
            else (opener or cv2.VideoCapture)(source)
        )
        opened = device.isOpened()
    if not opened:
        device.release()
        if isinstance(source, str):
            raise SourceError(f"{label}: no stream there, or it does not answer")
        raise SourceError(
            f"{label}: cannot be opened; is it plugged in, free, and allowed for this program?"
        )
    if isinstance(source, str):
        return Camera(source, device, timeout_s=_RECONNECT_S, reopen=lambda: _open_stream(source))
    return Camera(source, device, timeout_s=timeout_s)


def live_label(source: int | str) -> str:
    """Return the name of a camera or stream in messages, without credentials in an address."""
    return f"camera {source}" if isinstance(source, int) else without_credentials(source)


def without_credentials(address: str) -> str:
    """Return an address without user name and password."""
    return re.sub(r"//[^/]*@", "//", address)


def live_name(source: int | str) -> str:
    """Return the stem of file names for a camera or stream."""
    return f"camera{source}" if isinstance(source, int) else "stream"


def _open_stream(address: str) -> cv2.VideoCapture:
    """Open an address; OpenCV reads ffmpeg's options from the environment only."""
    waits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _SILENCE_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC]
    before = os.environ.get(_FFMPEG_OPTIONS)
    os.environ[_FFMPEG_OPTIONS] = before or f"rtsp_transport;tcp|protocol_whitelist;{_PROTOCOLS}"
    try:
        return cv2.VideoCapture(address, cv2.CAP_FFMPEG, [*waits, _SILENCE_MS])
    finally:
        if before is None:
            del os.environ[_FFMPEG_OPTIONS]


def _rate(said: float) -> Fraction:
    """Convert the rate that a driver reports to a fraction, such as 29.97 to 2997/100."""
    return Fraction(said).limit_denominator(1001) if 1 <= said <= _FASTEST else _USUAL_RATE
