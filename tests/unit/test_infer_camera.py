"""The camera loop: newest frame first, recordings in real time, clean shutdown."""

import threading
import time
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from sodcli.errors import PipelineError, SinkError, SourceError, UsageError
from sodcli.imaging.compose import Look
from sodcli.infer.camera import Capture, Meter, live
from sodcli.infer.recording import Recording, plan_recording
from sodcli.io.camera.capture import open_camera
from sodcli.io.settings import InferSettings, Style
from sodcli.runtime.threads import Newest
from tests.camera_kit import StandIn, Stepped

GREEN = InferSettings(styles=(Style("green", "green", Look(refine=False)),))


def answered(frame):
    """Return the frame with saliency 1 everywhere, so that outputs show the camera's pictures."""
    return frame.with_saliency(np.ones(frame.size_hw, np.float32))


def recording_to(path, *, kind="green", **options):
    style = Style(kind, kind)
    settings = InferSettings(styles=(style,), out=str(path), **options)
    return Recording(plan_recording("camera0", settings), Fraction(25), settings)


def film_frames(path):
    """Return mean level and time in seconds of each frame, decoded by ffmpeg."""
    film, frames = cv2.VideoCapture(str(path)), []
    while True:
        at = film.get(cv2.CAP_PROP_POS_MSEC) / 1000
        there, picture = film.read()
        if not there:
            film.release()
            return frames
        frames.append((picture[..., 1].mean(), film.get(cv2.CAP_PROP_POS_MSEC) / 1000 or at))


class Ending:
    """A window that the user closes after some frames."""

    def __init__(self, after):
        self.after, self.shown, self.left = after, [], False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.left = True

    def show(self, pixels, note):
        self.shown.append((pixels, note))

    def wanted(self):
        return len(self.shown) < self.after


def test_the_newest_item_takes_the_place_of_the_oldest():
    box = Newest(2)
    for item in (1, 2, 3):
        box.put(item)
    assert (box.get(), box.get(), box.get(0.01)) == (2, 3, None)


def test_a_closed_queue_returns_its_last_item_and_then_ends():
    box = Newest()
    box.put("last")
    box.close()
    assert (box.get(), box.get()) == ("last", None)


def test_the_rate_is_that_of_the_last_two_seconds():
    now = iter([10.0, 11.0, 12.0, 12.5, 13.0, 13.5, 14.0])
    meter = Meter(lambda: next(now))
    assert str(meter) == ""
    assert meter.mean == 0
    for _ in range(7):
        meter.tick()
    assert meter.rate == pytest.approx(2)
    assert str(meter) == "2.0 fps"
    assert (meter.count, meter.seconds, meter.mean) == (7, 4, 1.5)


def test_a_slow_network_drops_frames_instead_of_falling_behind():
    device, indices = Stepped(), []

    def slow(frame):
        indices.append(frame.index)
        device.take(5) if len(indices) < 10 else device.take_all()
        return answered(frame)

    with open_camera(0, opener=device) as camera:
        assert live(camera, slow, replace(GREEN, frames=10)) is False
    assert indices == list(range(0, 50, 5))


def test_the_window_ends_the_loop_and_gets_the_rate_if_asked():
    window = Ending(after=4)
    with open_camera(0, opener=StandIn(rate=50)) as camera:
        assert live(camera, answered, replace(GREEN, show_fps=True), window=window) is False
    assert window.left
    assert len(window.shown) == 4
    assert window.shown[0][1] == ""
    assert window.shown[-1][1].endswith(" fps")
    assert window.shown[-1][0].shape == (48, 64, 3)


def test_the_window_responds_while_the_camera_sends_nothing():
    device, turns = Stepped(), []

    class Closing(Ending):
        def wanted(self):
            turns.append(len(self.shown))
            if turns.count(1) == 5:
                device.take_all()
            return turns.count(1) < 5

    with open_camera(0, opener=device) as camera:
        live(camera, answered, GREEN, window=Closing(after=1))
    assert turns.count(1) == 5


def test_threshold_and_type_are_those_of_pictures():
    window = Ending(after=1)

    def half(frame):
        return frame.with_saliency(np.full(frame.size_hw, 0.6, np.float32))

    with open_camera(0, opener=StandIn()) as camera:
        live(
            camera,
            half,
            replace(GREEN, styles=(Style("map", "map"),), threshold=0.5),
            window=window,
        )
    assert (window.shown[0][0] == 255).all()


def test_a_recording_plays_in_real_time_however_slow_the_network(tmp_path):
    out = tmp_path / "out.mkv"
    missed = iter([0, 7, 0, 3, 1, 0, 5])
    device, indices, begun_s, given_s = Stepped(rate=50), [], [], []

    def uneven(frame):
        begun_s.append(time.monotonic())
        indices.append(frame.index)
        device.take(next(missed) + 1) if len(indices) < 8 else device.take_all()
        return answered(frame)

    recording = recording_to(out, codec="ffv1")
    put = recording.put
    recording.put = lambda pixels, at_s: given_s.append(at_s) or put(pixels, at_s)
    with open_camera(0, opener=device) as camera:
        live(camera, uneven, replace(GREEN, frames=8), recording=recording)
    assert indices == [0, 1, 9, 10, 14, 16, 17, 23]
    for index, given, begun in zip(indices, given_s, begun_s, strict=True):
        assert device.taken_s[index] <= given <= begun  # the time of capture, not of inference
    frames = film_frames(out)
    assert recording.done
    assert recording.frames == 8
    assert [round(level) for level, _ in frames] == indices
    shown_s = [given - given_s[0] for given in given_s]
    assert [at for _, at in frames] == pytest.approx(shown_s, abs=2e-3)


def test_an_unplugged_camera_leaves_a_complete_recording(tmp_path):
    out = tmp_path / "out.mp4"
    recording = recording_to(out)
    with open_camera(0, opener=StandIn(rate=50, ends_after=5), timeout_s=0.1) as camera:
        with pytest.raises(SourceError, match="no more pictures"):
            live(camera, answered, GREEN, recording=recording)
    assert recording.done
    assert len(film_frames(out)) == recording.frames
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_camera_without_pictures_leaves_no_recording(tmp_path):
    recording = recording_to(tmp_path / "out.mp4")
    with open_camera(0, opener=StandIn(ends_after=0), timeout_s=0.05) as camera:
        with pytest.raises(SourceError):
            live(camera, answered, GREEN, recording=recording)
    assert not recording.done
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_loop_and_keeps_the_recording(tmp_path):
    out, device = tmp_path / "out.mp4", Stepped(rate=50)

    def interrupted(frame):
        if frame.index == 5:
            device.take_all()
            raise KeyboardInterrupt
        device.take(1)
        return answered(frame)

    recording = recording_to(out)
    with open_camera(0, opener=device) as camera:
        assert live(camera, interrupted, GREEN, recording=recording) is True
    assert recording.done
    assert len(film_frames(out)) == recording.frames == 5


def test_ctrl_c_while_the_film_is_finished_leaves_nothing(tmp_path, monkeypatch):
    begun, given_up = threading.Event(), threading.Event()

    class Slow(Recording):
        def _sink(self, pixels):
            begun.set()
            given_up.wait()
            return super()._sink(pixels)

    job = plan_recording("camera0", replace(GREEN, out=str(tmp_path / "out.mp4")))
    recording = Slow(job, Fraction(25), GREEN)
    join = interrupted_once(recording._thread.join, given_up.set)
    monkeypatch.setattr(recording._thread, "join", join)
    with pytest.raises(KeyboardInterrupt):
        with recording:
            recording.put(np.zeros((48, 64, 3), np.uint8), 0.0)
            begun.wait()
    assert not recording.done
    assert list(tmp_path.iterdir()) == []


def interrupted_once(join, then):
    """Return a ``join`` whose first call is interrupted by Ctrl-C; later ones call ``then``."""
    calls = []

    def interrupted(timeout=None):
        calls.append(timeout)
        if len(calls) == 1:
            raise KeyboardInterrupt
        then()
        join(timeout)

    return interrupted


def test_a_recording_that_cannot_be_written_ends_the_loop(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with open_camera(0, opener=StandIn(rate=50)) as camera:
        with pytest.raises(SinkError, match="cannot write"):
            live(camera, answered, GREEN, recording=recording_to(blocked / "out.mp4"))


def test_a_failure_of_the_last_frame_is_reported(tmp_path):
    recording = recording_to(tmp_path / "out.mp4")
    with pytest.raises(PipelineError, match="recording failed: frame is"):
        with recording:
            recording.put(np.zeros((48, 64, 3), np.uint8), 0.0)
            recording.put(np.zeros((48, 60, 3), np.uint8), 0.1)
    assert list(tmp_path.iterdir()) == []


def test_cut_outs_are_recorded_with_alpha_as_film_or_frames(tmp_path):
    rgba = InferSettings(styles=(Style("rgba", "rgba", Look(refine=False)),))
    for out, expected in (("a.mov", "a.mov"), ("b/", "b")):
        with open_camera(0, opener=StandIn()) as camera:
            recording = recording_to(f"{tmp_path}/{out}", kind="rgba")
            live(camera, answered, replace(rgba, frames=3), recording=recording)
        assert recording.output == str(tmp_path / expected)
    frames = sorted((tmp_path / "b").iterdir())
    assert [path.name for path in frames] == ["00000.png", "00001.png", "00002.png"]
    assert cv2.imread(str(frames[0]), cv2.IMREAD_UNCHANGED).shape == (48, 64, 4)
    assert len(film_frames(tmp_path / "a.mov")) == 3


def test_quality_and_compression_are_those_of_films(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    sizes = []
    for out, options in [
        ("low.mp4", {"quality": 5}), ("high.mp4", {"quality": 95}),
        ("small", {"compress": 9, "codec": "png"}), ("large", {"compress": 0, "codec": "png"}),
    ]:  # fmt: skip
        with recording_to(tmp_path / out, **options) as recording:
            recording.put(noise // 2 if "codec" in options else noise, 0.0)
        made = tmp_path / out / "00000.png" if "codec" in options else tmp_path / out
        sizes.append(made.stat().st_size)
    assert sizes[0] < sizes[1] / 2
    assert sizes[2] < sizes[3]


def test_recordings_into_folders_are_named_after_the_camera(tmp_path):
    job = plan_recording(
        "camera2", InferSettings(styles=(Style("blur", "blur"),), out=f"{tmp_path}/")
    )
    assert job.target == tmp_path / "camera2_blur.mp4"


def test_a_recording_replaces_a_file_only_if_asked(tmp_path):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists; --overwrite replaces it"):
        recording_to(out)
    assert recording_to(out, overwrite=True).output == str(out)


def test_a_hanging_driver_counts_as_an_unplugged_camera():
    free = threading.Event()

    class Hanging(StandIn):
        def read(self):
            free.wait()
            return super().read()

    with open_camera(0, opener=Hanging(rate=0), timeout_s=0.05) as camera:
        camera.silence_s = 0.1
        with pytest.raises(SourceError, match=r"^camera 0: no picture for 0\.1 s$"):
            with Capture(camera) as capture:
                while capture.newest(0.02) is None:
                    pass
                free.set()
        free.set()


def test_an_internal_error_names_the_stage():
    class Odd(StandIn):
        def read(self):
            return True, np.zeros((4, 4, 9), np.uint8)  # not a possible picture

    with open_camera(0, opener=Odd(rate=0)) as camera, Capture(camera) as capture:
        with pytest.raises(PipelineError, match="reading the camera failed"):
            capture.newest(60)
