"""A window that shows a live sequence of pictures."""

import ctypes
import os
import sys
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.errors import SinkError
from sodcli.imaging.blend import mix
from sodcli.process import silent_stderr

Pixels = NDArray[np.uint8]

_ENDING_KEYS: Final = frozenset(b"qQ\x1b")
_LARGEST_WH: Final = (1280, 720)  # initial size in pixels; the user can enlarge it
_SQUARE: Final = 16  # side of a chequerboard square behind transparent pixels, in pixels
_GREYS: Final = np.array((255, 204), np.uint8)


class Window:
    """A window on the screen; a context manager.

    It opens with the first picture and keeps its aspect ratio. The user ends it by closing it, or
    with q or Esc. All calls must come from the main thread, as macOS and Windows require.

    Attributes:
        title: Text of its title bar.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._shown = False

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            cv2.destroyAllWindows()
            cv2.waitKey(1)  # the window closes when its events are processed

    def show(self, pixels: Pixels, note: str = "") -> None:
        """Show a picture in the window.

        Args:
            pixels: ``(H, W)`` grey, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA with straight alpha,
                uint8; transparent pixels show a chequerboard.
            note: Text in the upper left corner; empty for none.
        """
        bgr = np.asarray(cv2.cvtColor(_opaque(pixels), cv2.COLOR_RGB2BGR), np.uint8)
        if note:
            _write(bgr, note)
        if not self._shown:
            self._open(*bgr.shape[:2])
        cv2.imshow(self.title, bgr)

    def wanted(self) -> bool:
        """Process the window's events; return False if the user has ended it."""
        if not self._shown:
            return True
        if cv2.waitKey(1) & 0xFF in _ENDING_KEYS:
            return False
        return cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) >= 1

    def _open(self, height: int, width: int) -> None:
        _configure_qt()
        flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        cv2.namedWindow(self.title, flags)
        scale = min(1.0, _LARGEST_WH[0] / width, _LARGEST_WH[1] / height)
        cv2.resizeWindow(self.title, round(width * scale), round(height * scale))
        self._shown = True


def require_display() -> None:
    """Check that a window can be opened; without a display, Qt would abort the program.

    Raises:
        SinkError: If there is no display, or OpenCV was built without a GUI.
    """
    if not cv2.currentUIFramework():
        raise SinkError(
            "this OpenCV has no windows (opencv-python-headless?);"
            " add -o out.mov to record instead, or install opencv-python"
        )
    if sys.platform.startswith("linux") and not _x_server_answers():
        raise SinkError("no display for the camera window; add -o out.mov to record instead")


def _configure_qt() -> None:
    """Disable the log and the Wayland backend of Qt, which draws OpenCV's windows on Linux.

    OpenCV's wheel has no Wayland plugin; if Qt tried to load it, Qt would abort the program.
    """
    os.environ.setdefault("QT_LOGGING_RULES", "*=false")
    if os.environ.get("DISPLAY"):
        os.environ["QT_QPA_PLATFORM"] = "xcb"


def _x_server_answers() -> bool:
    """Return True if the X server of ``$DISPLAY`` accepts a connection."""
    if not os.environ.get("DISPLAY"):
        return False
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True  # cannot be checked without libxcb
    xcb.xcb_connect.restype = ctypes.c_void_p
    with silent_stderr():
        connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    answers = not xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return answers


def _opaque(pixels: Pixels) -> Pixels:
    """Return pixels of any kind as ``(H, W, 3)`` RGB, transparent ones over a chequerboard."""
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    if pixels.shape[2] == 3:
        return pixels
    rows, columns = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    board = _GREYS[(rows // _SQUARE + columns // _SQUARE) % 2][..., None]
    return mix(pixels[..., :3], board, pixels[..., 3].astype(np.float32) / np.float32(255))


def _write(bgr: Pixels, note: str) -> None:
    """Draw white text on a black bar, in place; it is legible on any picture."""
    scale = max(0.5, bgr.shape[0] / 720)
    font, width = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(2 * scale))
    (wide, high), below = cv2.getTextSize(note, font, scale, width)
    bgr[: high + 2 * below, : wide + 2 * below] = 0
    cv2.putText(bgr, note, (below, high + below), font, scale, (255,) * 3, width, cv2.LINE_AA)
