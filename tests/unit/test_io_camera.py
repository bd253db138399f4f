"""The camera as a source: its names, its frames and its end."""

import os
import threading
from fractions import Fraction

import cv2
import numpy as np
import pytest

from sodcli.errors import SourceError, UsageError
from sodcli.io.camera.capture import live_source, open_camera
from sodcli.process import silent_stderr
from tests.camera_kit import StandIn


@pytest.mark.parametrize(
    ("sources", "number"),
    [(["0"], 0), (["2"], 2), (["./0"], None), (["0.jpg"], None), (["-"], None), (["²"], None)],
)
def test_only_digits_name_a_camera(sources, number):
    assert live_source(sources) == number


@pytest.mark.parametrize("sources", [["0", "1"], ["photo.jpg", "0"], ["0", "0"]])
def test_a_camera_is_the_only_source(sources):
    with pytest.raises(UsageError, match=r"is ./\d$"):
        live_source(sources)


def test_frames_are_rgb_and_counted():
    with open_camera(3, opener=StandIn(rate=0)) as camera:
        frames = [camera.read() for _ in range(3)]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert frames[2].name == "camera3"
    assert frames[2].rgb.shape == (48, 64, 3)
    assert frames[2].rgb.dtype == np.uint8
    assert frames[2].rgb[0, 0].tolist() == [2, 2, 255]


def test_the_driver_buffers_no_old_frames():
    device = StandIn(rate=0)
    with open_camera(0, opener=device):
        assert device.asked[cv2.CAP_PROP_BUFFERSIZE] == 1
    assert device.released


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        (25.0, Fraction(25)),
        (29.97, Fraction(2997, 100)),
        (0.0, Fraction(30)),
        (-1.0, Fraction(30)),
        (float("nan"), Fraction(30)),
        (1e6, Fraction(30)),
    ],
)
def test_the_rate_is_that_of_the_driver_if_known(said, rate):
    with open_camera(0, opener=StandIn(rate=said)) as camera:
        assert camera.rate == rate


def test_single_read_failures_are_retried():
    with open_camera(0, opener=StandIn(rate=0, fails=(0, 1, 3))) as camera:
        assert [camera.read().rgb[0, 0, 0] for _ in range(2)] == [2, 4]


def test_an_unplugged_camera_ends_with_one_line():
    camera = open_camera(0, opener=StandIn(rate=0, ends_after=1), timeout_s=0.05)
    camera.read()
    with pytest.raises(
        SourceError, match=r"^camera 0: no more pictures; is it still plugged in\?$"
    ):
        camera.read()


def test_errors_of_opencv_count_as_failed_reads():
    class Broken(StandIn):
        def read(self):
            raise cv2.error("driver")

    with open_camera(0, opener=Broken(rate=0), timeout_s=0.05) as camera:
        with pytest.raises(SourceError, match="no more pictures"):
            camera.read()


def test_frames_come_from_a_real_capture_of_opencv(tmp_path):
    film = tmp_path / "film.avi"
    size_wh = (64, 48)
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, size_wh)
    for level in (50, 100, 150):
        writer.write(np.full((*size_wh[::-1], 3), level, np.uint8))
    writer.release()
    with open_camera(0, opener=lambda _: cv2.VideoCapture(str(film)), timeout_s=0.05) as camera:
        assert camera.rate == 20
        levels = [int(camera.read().rgb.mean()) for _ in range(3)]
        assert levels == pytest.approx([50, 100, 150], abs=3)
        with pytest.raises(SourceError):
            camera.read()


@pytest.mark.parametrize(
    ("number", "line"), [(100, "the first one is 0"), (10**20, "the first one is 0")]
)
def test_camera_numbers_that_mean_drivers_in_opencv_are_refused(number, line):
    with pytest.raises(SourceError, match=line):
        open_camera(number)


def test_a_camera_that_does_not_open_is_released():
    device = StandIn(opens=False)
    with pytest.raises(SourceError, match="camera 7: cannot be opened"):
        open_camera(7, opener=device)
    assert device.released


def test_looking_for_a_camera_that_is_not_there_is_silent(capfd):
    with pytest.raises(SourceError, match="camera 98: cannot be opened"):
        open_camera(98)
    assert capfd.readouterr() == ("", "")


def test_standard_error_comes_back_after_silence(capfd):
    with silent_stderr():
        os.write(2, b"driver noise")
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"


def test_a_program_without_standard_error_can_open_cameras(monkeypatch):
    def closed(handle):
        raise OSError("bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    with open_camera(0, opener=StandIn(rate=0)) as camera:
        assert camera.read().index == 0


def test_a_hanging_driver_does_not_hang_the_end():
    device = StandIn(rate=0)
    camera = open_camera(0, opener=device, timeout_s=0.05)
    camera._reading.acquire()  # as a read that never returns
    closing = threading.Thread(target=camera.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    assert not device.released
