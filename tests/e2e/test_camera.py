"""``sod infer 0`` with a window and keys on an X server; only the camera is simulated."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from sodcli.errors import SinkError
from sodcli.io.camera.window import Window, require_display
from sodcli.registry import DEFAULT_MODEL
from tests.camera_kit import Screen, StandIn

TITLE = "sod: camera 0, blur"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if sys.platform != "linux" or shutil.which("Xvfb") is None:
        pytest.skip("Xvfb, a display without a screen, is not on this machine")
    try:
        return Screen(tmp_path_factory.mktemp("screen"))
    except OSError as error:
        pytest.skip(f"no keys can be pressed on this machine: {error}")


@pytest.fixture
def screen(server, monkeypatch):
    monkeypatch.setenv("DISPLAY", server.name)
    return server


@pytest.fixture
def camera(monkeypatch):
    """Plug in a camera."""
    device = StandIn(size_wh=(160, 120))
    monkeypatch.setattr(cv2, "VideoCapture", device)
    return device


@pytest.fixture
def no_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)


def wait_for(true, limit_s=900):
    """Wait until the function returns a true value; return it, or ``None`` after ``limit_s``."""
    end = time.monotonic() + limit_s
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


class Person(threading.Thread):
    """A simulated user who waits for a window with a title and then acts."""

    def __init__(self, screen, title, act):
        super().__init__()
        self.screen, self.title, self.act, self.seen = screen, title, act, None
        self.start()

    def look(self):
        self.seen = self.screen.pixels()
        return self.seen

    def run(self):
        if wait_for(lambda: self.title in self.screen.windows()):
            # Without a window manager the window may stay black.
            wait_for(lambda: lit(self.look()), limit_s=2)
            self.act()


def lit(seen):
    """Return True if the screen shows more than a mouse pointer."""
    return seen.any(axis=-1).sum() > 1000


def shown(screen, window, pixels, hoped, note=""):
    """Show ``pixels`` until the window has the expected content; the server draws asynchronously.

    Without a window manager Qt sometimes does not notice that a new window is visible, and leaves
    it black until it is shown again.

    Returns the content of the window, wherever Qt placed it.
    """
    turns = itertools.count(1)

    def look():
        left, top, _, _ = cv2.getWindowImageRect(window.title)
        return screen.pixels()[top : top + pixels.shape[0], left : left + pixels.shape[1]]

    def turn():
        window.show(pixels, note)
        assert window.wanted()
        if next(turns) % 50 == 0:
            screen.reopen(window.title)
        return hoped(look())

    assert wait_for(turn)
    return look()


def test_a_window_shows_colours_greys_and_chequers_under_alpha(screen):
    rgba = np.zeros((64, 96, 4), np.uint8)
    rgba[:, 48:] = (10, 20, 30, 255)
    colour, grey = np.full((64, 96, 3), (200, 100, 50), np.uint8), np.full((64, 96), 77, np.uint8)
    with Window("test") as window:
        assert window.wanted()
        shown(screen, window, colour, lambda seen: (seen == (200, 100, 50)).all())
        shown(screen, window, grey, lambda seen: (seen == 77).all())
        seen = shown(screen, window, rgba, lambda seen: (seen[:, 48:] == (10, 20, 30)).all())
    assert {tuple(colour) for colour in seen[:, :48].reshape(-1, 3).tolist()} == {
        (255, 255, 255),
        (204, 204, 204),
    }
    assert "test" not in screen.windows()


def test_a_window_is_no_larger_than_the_screen_of_a_small_laptop(screen):
    pixels = np.full((2160, 3840, 3), 99, np.uint8)
    with Window("large") as window:

        def size():
            window.show(pixels)
            assert window.wanted()
            return cv2.getWindowImageRect("large")[2:]

        assert wait_for(lambda: size() == (1280, 720))


def test_a_note_is_drawn_in_the_corner_of_the_window_only(screen):
    pixels = np.full((240, 320, 3), 120, np.uint8)
    with Window("noted") as window:
        seen = shown(screen, window, pixels, lambda seen: (seen[60:] == 120).all(), "24.9 fps")
    assert (pixels == 120).all()
    assert (seen[:30, :100] >= 250).any()  # white; OpenCV 4 softens thin lines of it to 251
    assert (seen[:2, :10] == 0).all()


@pytest.mark.parametrize("end", ["q", "Escape", "close"])
def test_the_window_ends_with_q_escape_and_its_cross(sod, screen, camera, end):
    def act():
        screen.press(TITLE, "a")  # any other key does nothing
        time.sleep(0.3)
        assert TITLE in screen.windows()
        screen.close_window(TITLE) if end == "close" else screen.press(TITLE, end)

    person = Person(screen, TITLE, act)
    result = sod("infer", "0", "-t", "blur", "--size", "64", "--show-fps")
    person.join()
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert f"model {DEFAULT_MODEL}" in result.stderr
    assert "frames/s" in result.stderr
    assert person.seen is not None
    assert TITLE not in screen.windows()
    assert camera.released


def test_show_and_record_at_once(sod, screen, camera, tmp_path):
    out = tmp_path / "out.mp4"
    person = Person(screen, "sod: camera 0, green", lambda: None)
    result = sod("infer", 0, "-t", "green", "--size", 64, "-o", out, "--frames", 12, "--json")
    person.join()
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    (row,) = told.pop("results")
    assert told["model"] == DEFAULT_MODEL
    assert (row["input"], row["output"], row["frames"]) == ("0", str(out), 12)
    assert (row["status"], row["error"]) == ("done", None)
    assert row["fps"] == pytest.approx(11 / row["seconds"], rel=0.01)
    assert out.stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert person.seen is not None


def test_without_a_display_the_error_comes_before_the_network_is_loaded(no_display):
    program = "import sys; from sodcli.cli.app import app; sys.argv[1:] = ['infer', '0']\n"
    program += "try: app()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "error: no display for the camera window; add -o out.mov to record instead\n"
    )
    assert done.stdout == "False\n"


def test_a_display_that_does_not_answer_counts_as_missing(monkeypatch, capfd):
    monkeypatch.setenv("DISPLAY", ":987")
    with pytest.raises(SinkError, match="no display"):
        require_display()
    assert capfd.readouterr() == ("", "")


def test_an_opencv_without_windows_is_an_error(monkeypatch):
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    with pytest.raises(SinkError, match="opencv-python-headless"):
        require_display()


def test_without_libxcb_the_display_is_not_checked(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.setattr("sodcli.io.camera.window.ctypes.CDLL", missing)
    require_display()


def test_without_a_camera_the_error_is_one_line(tmp_path, no_display):
    words = [sys.executable, "-m", "sodcli", "infer", "97", "-q", "-o", str(tmp_path / "out.mov")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: camera 97: cannot be opened; is it plugged in")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_display_a_recording_is_still_made(sod, camera, no_display, tmp_path):
    words = ["infer", 0, "--size", 64, "-t", "map", "--frames", 5, "-o", f"{tmp_path}/"]
    result = sod(*words)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'camera0_map.mp4'}\n"
    assert "no display: recording without a window, Ctrl-C ends it" in result.stderr
    again = sod(*words)
    assert again.exit_code == 2
    assert "exists; --overwrite replaces it" in again.stderr


def test_a_requested_window_that_cannot_open_is_an_error(sod, camera, no_display, tmp_path):
    result = sod("infer", 0, "--show", "-t", "map", "-o", tmp_path / "out.mp4")
    assert result.exit_code == 1
    assert "no display" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["0", "1"], 2, "is the only source of its run"),
        (["0", "--no-show"], 2, "--no-show leaves nothing to do; add -o out.mov"),
        (["0", "-o", "out.mp4"], 2, "cannot write transparency to out.mp4; use .mov"),
        (["0", "--start", "1:30"], 2, "--start is for films"),
        (["0", "-t", "map", "-t", "blur", "-o", "x/"], 2, "camera 0: a camera gives one result"),
        (["0", "--mask", "m.png"], 2, "--mask: for photos only; leave out camera 0"),
        (["./0"], 1, "0: no such file"),
    ],
)
def test_mistakes_are_reported_in_one_line(sod, camera, words, code, line):
    result = sod("infer", *words)
    assert result.exit_code == code
    assert line in result.stderr.splitlines()[-1]


def test_a_dry_run_needs_neither_camera_nor_display(sod, no_display, tmp_path):
    out = str(tmp_path / "out.mov")
    assert sod("infer", 0, "-o", out, "--dry-run").stdout == f"{out}\n"
    told = json.loads(sod("infer", 0, "-o", out, "--dry-run", "--json").stdout)
    assert told == {"results": [{"input": "0", "output": out, "status": "write"}]}
    assert sod("infer", 0, "--dry-run").stdout == ""
    words = ["--rate", "9", "--no-audio", "--no-clean", "--quality", "50", "--compress", "1"]
    assert sod("infer", 0, "-o", out, "--dry-run", *words).stderr == (
        "warning: --no-clean, --rate, --no-audio: without effect, no source is a picture or film\n"
        "warning: --quality: without effect, no result is of a lossy format\n"
        "warning: --compress: without effect, no result is a PNG\n"
    )


def test_the_json_of_a_stream_has_no_password(sod, no_display, tmp_path):
    address = "rtsp://me:secret@127.0.0.1:9/x"
    result = sod("infer", address, "-o", tmp_path / "out.mp4", "-t", "green", "--dry-run", "--json")
    assert json.loads(result.stdout)["results"][0]["input"] == "rtsp://127.0.0.1:9/x"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_unplugged_camera_is_an_error_but_its_recording_is_kept(
    sod, no_display, monkeypatch, tmp_path
):
    monkeypatch.setattr(cv2, "VideoCapture", StandIn(ends_after=8))
    out = tmp_path / "out.mp4"
    result = sod("infer", 0, "--size", 64, "-t", "map", "-o", out, "--json")
    assert result.exit_code == 1
    assert "error: camera 0: no more pictures" in result.stderr
    (row,) = json.loads(result.stdout)["results"]
    assert row["status"] == "failed"
    assert row["error"].startswith("camera 0: no more pictures")
    assert row["output"] == str(out)
    assert out.stat().st_size > 0


def test_a_picture_can_be_the_background_of_a_camera_and_a_film_cannot(
    sod, camera, no_display, tmp_path
):
    back, out = tmp_path / "beach.png", tmp_path / "out.mp4"
    cv2.imwrite(str(back), np.full((60, 80, 3), 90, np.uint8))
    words = ["infer", 0, "--size", 64, "--frames", 2]
    result = sod(*words, "-t", back, "-o", f"{tmp_path}/")
    assert result.stdout == f"{tmp_path / 'camera0_beach.mp4'}\n"
    film = tmp_path / "camera0_beach.mp4"
    refused = sod(*words, "-t", film, "-o", out)
    assert refused.exit_code == 2
    assert "behind a camera goes a picture, not a film" in refused.stderr


def test_ctrl_c_ends_a_recording_without_a_window(sod, monkeypatch, tmp_path):
    class Struck(StandIn):
        struck = False

        def read(self):
            if not self.struck and any(tmp_path.iterdir()):  # the first frame has been recorded
                self.struck = True
                signal.raise_signal(signal.SIGINT)
            return super().read()

    monkeypatch.setattr(cv2, "VideoCapture", Struck())
    out = tmp_path / "out.mp4"
    result = sod("infer", 0, "--size", 64, "-t", "map", "--no-show", "-o", out)
    assert result.exit_code == 130
    assert result.stdout == f"{out}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process alone")
def test_ctrl_c_in_a_terminal_leaves_a_playable_film(tmp_path):
    program = (
        "import cv2, sys\n"
        "from tests.camera_kit import StandIn\n"
        "cv2.VideoCapture = StandIn()\n"
        "from sodcli.cli.app import app\n"
        "app()\n"
    )
    out = tmp_path / "out.mp4"
    words = ["infer", "0", "--no-show", "-t", "map", "--size", "64", "-o", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert wait_for(lambda: list(tmp_path.glob(".sod-film-*/picture*")))
    process.send_signal(signal.SIGINT)
    told, said = process.communicate(timeout=900)
    assert process.returncode == 130
    assert told == f"{out}\n"
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    film = cv2.VideoCapture(str(out))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) >= 1
    assert film.read()[0]
    film.release()
