"""A stand-in camera, streams served on this machine, and a virtual display."""

import ctypes
import math
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

RATE = 25.0
GREEN = (40, 200, 90)
_SERVERS = []  # not terminated here: they end by themselves after this process


class StandIn:
    """Behaves like ``cv2.VideoCapture``, with drawn pictures at the rate of a camera.

    Each picture has one colour: full blue, with red and green its number modulo 200.
    """

    def __init__(self, rate=RATE, size_wh=(64, 48), ends_after=None, fails=(), opens=True):
        self.rate, self.size_wh, self.ends_after, self.fails = rate, size_wh, ends_after, fails
        self.opens, self.released, self.reads, self.asked = opens, False, 0, {}
        self._start = None

    def __call__(self, number):
        return self

    def isOpened(self):  # noqa: N802
        return self.opens

    def get(self, what):
        return self.rate if what == cv2.CAP_PROP_FPS else 0.0

    def set(self, what, value):
        self.asked[what] = value
        return True

    def read(self):
        self.reads += 1
        at = self.reads - 1
        if at in self.fails or (self.ends_after is not None and at >= self.ends_after):
            return False, None
        self._start = self._start or time.monotonic()
        due = self._start + at / self.rate if 1 <= self.rate <= 1000 else 0
        time.sleep(max(0.0, due - time.monotonic()))
        picture = np.full((*self.size_wh[::-1], 3), at % 200, np.uint8)
        picture[:, :, 0] = 255  # blue: OpenCV's channel order is BGR
        return True, picture

    def release(self):
        self.released = True


class Stepped(StandIn):
    """Delivers the first picture at once, and each further one only when ``take`` allows it.

    Attributes:
        taken_s: When each picture was taken, in seconds of ``time.monotonic``.
    """

    def __init__(self, **options):
        super().__init__(**{"rate": 0, **options})
        self._allowed, self._asked_for, self.taken_s = 1, 0, []
        self._changed = threading.Condition()

    def take(self, count):
        """Deliver ``count`` pictures; return when the reader has read all and requests the next."""
        with self._changed:
            self._allowed += count
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._asked_for > self._allowed)

    def take_all(self):
        """Deliver every picture that is requested from now on."""
        with self._changed:
            self._allowed = math.inf
            self._changed.notify_all()

    def read(self):
        with self._changed:
            self._asked_for += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._asked_for <= self._allowed)
        answer = super().read()
        self.taken_s.append(time.monotonic())
        return answer


@contextmanager
def served(answer):
    """Serve ``answer``, a function of the request handler, on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            with suppress(OSError):
                answer(self)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def motion_jpeg(handler, count=200, size_wh=(64, 48)):
    """Answer with a stream of ``count`` green pictures, 50 a second."""
    bgr = np.full((*size_wh[::-1], 3), GREEN[::-1], np.uint8)
    data = cv2.imencode(".jpg", bgr)[1].tobytes()
    handler.send_response(200)
    handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
    handler.end_headers()
    for _ in range(count):
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        handler.wfile.write(head.encode() + data + b"\r\n")
        time.sleep(0.02)


class Screen:
    """A running Xvfb, an X server that draws into memory, with keyboard and windows.

    It must outlive this process, because Qt exits the program when its display closes. It
    therefore runs with an option to exit after its last client.
    """

    def __init__(self, folder):
        command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
        command += ["-fbdir", str(folder), "-terminate"]
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        _SERVERS.append(server)
        with server.stdout:
            self.name = f":{server.stdout.readline().strip()}"
        self._memory = folder / "Xvfb_screen0"
        self._x, self._test = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._calm = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: 0)
        self._x.XSetErrorHandler(self._calm)  # a window may close while it is inspected
        self._x.XInternAtom.restype = ctypes.c_ulong
        self._x.XDefaultRootWindow.restype = ctypes.c_ulong
        self._display = ctypes.c_void_p(self._x.XOpenDisplay(self.name.encode()))
        self._root = ctypes.c_ulong(self._x.XDefaultRootWindow(self._display))

    def pixels(self):
        """Return the content of the screen, ``(H, W, 3)`` uint8 RGB."""
        dump = self._memory.read_bytes()
        header = np.frombuffer(dump, ">u4", 25)
        width, height, line, colours = header[4], header[5], header[12], header[19]
        start = header[0] + 12 * colours
        rows = np.frombuffer(dump, np.uint8, height * line, start).reshape(height, line)
        return rows[:, : width * 4].reshape(height, width, 4)[..., 2::-1]

    def press(self, title, key):
        """Press and release a key, such as ``q`` or ``Escape``, while a window has the focus."""
        window = ctypes.c_ulong(self.windows()[title])
        self._x.XSetInputFocus(self._display, window, 1, ctypes.c_ulong(0))
        self._x.XSync(self._display, 0)
        symbol = ctypes.c_ulong(self._x.XStringToKeysym(key.encode()))
        code = self._x.XKeysymToKeycode(self._display, symbol)
        for down in (1, 0):
            self._test.XTestFakeKeyEvent(self._display, code, down, ctypes.c_ulong(0))
        self._x.XFlush(self._display)

    def reopen(self, title):
        """Hide a window and show it again."""
        window = ctypes.c_ulong(self.windows()[title])
        for change in (self._x.XUnmapWindow, self._x.XMapWindow):
            change(self._display, window)
            self._x.XSync(self._display, 0)

    def windows(self):
        """Return the windows by their titles."""
        found, stack = {}, [self._root.value]
        while stack:
            window = stack.pop()
            name = ctypes.c_char_p()
            if self._x.XFetchName(self._display, ctypes.c_ulong(window), ctypes.byref(name)):
                found[name.value.decode()] = window
            stack += self._children(window)
        return found

    def close_window(self, title):
        """Close a window as its close button does."""
        atom = [
            self._x.XInternAtom(self._display, n, 0) for n in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
        ]
        event = (ctypes.c_long * 24)(33, 0, 0, 0, self.windows()[title], atom[0], 32, atom[1], 0)
        self._x.XSendEvent(
            self._display, ctypes.c_ulong(event[4]), 0, ctypes.c_long(0), ctypes.byref(event)
        )
        self._x.XFlush(self._display)

    def _children(self, window):
        root, parent, count = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_uint()
        below = ctypes.POINTER(ctypes.c_ulong)()
        self._x.XQueryTree(
            self._display,
            ctypes.c_ulong(window),
            *(ctypes.byref(value) for value in (root, parent, below, count)),
        )
        children = below[: count.value]
        if count.value:
            self._x.XFree(below)
        return children
