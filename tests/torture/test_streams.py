"""``sod infer`` on network streams that stop, stall, send garbage or change, on this machine."""

import json
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from sodcli.io.camera import capture
from tests.camera_kit import motion_jpeg, served
from tests.film_kit import pixels, render, size_of
from tests.torture import LONG
from tests.torture.trial import all_whole, leftovers, quick, sod

pytestmark = pytest.mark.slow


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(capture, "_SILENCE_MS", 3000)
    monkeypatch.setattr(capture, "_RECONNECT_S", 2.0)


def once(handler, turn, send):
    """Send the first time; say that there is nothing more afterwards."""
    handler.send_error(404) if turn else send(handler)


def stalls(handler, turn):
    motion_jpeg(handler, count=20)
    time.sleep(9)


def torn(handler, turn):
    """Promise a picture, send half of it, and close."""
    motion_jpeg(handler, count=20)
    data = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {2 * len(data)}\r\n\r\n"
    handler.wfile.write(head.encode() + data[: len(data) // 2])


def garbage(handler, turn):
    motion_jpeg(handler, count=20)
    for _ in range(40):
        handler.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + os.urandom(3000))


STOPS = {
    "closes": lambda handler, turn: once(handler, turn, lambda h: motion_jpeg(h, count=20)),
    "stalls": lambda handler, turn: once(handler, turn, lambda h: stalls(h, turn)),
    "tears": lambda handler, turn: once(handler, turn, lambda h: torn(h, turn)),
    "garbage": lambda handler, turn: once(handler, turn, lambda h: garbage(h, turn)),
}


@pytest.mark.parametrize("stop", STOPS if LONG else ("closes", "garbage"))
def test_what_a_stream_gave_before_it_stops_is_kept(stop, tmp_path, impatient):
    turns, out = [], tmp_path / "x.mp4"

    def answer(handler):
        turns.append(handler.path)
        STOPS[stop](handler, len(turns) - 1)

    with served(answer) as address:
        run = sod("infer", f"{address}/live.mjpg", *quick("-t", "green", "-o", out, "--json"))
    (row,) = json.loads(run.out)["results"]
    assert run.code == 1, run
    assert len(run.errors) == 1, run
    assert row["error"].startswith(f"{address}/live.mjpg: no ")
    assert len(pixels(out)) > 0
    assert all_whole(tmp_path) == 1
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("size_wh", [(96, 64), (32, 48)] if LONG else [(32, 48)])
def test_a_stream_that_comes_back_in_another_size_fits_its_recording(size_wh, tmp_path):
    turns, out = [], tmp_path / "x.mp4"

    def answer(handler):
        turns.append(handler.path)
        motion_jpeg(handler, **({"count": 10} if len(turns) < 3 else {"size_wh": size_wh}))

    with served(answer) as address:
        words = quick("-t", "green", "-o", out, "--frames", 60)
        run = sod("infer", f"{address}/live.mjpg", *words)
    assert run.code == 0, run
    assert len(turns) >= 3
    assert size_of(out) == (64, 48)
    assert all_whole(tmp_path) == 1
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"] if LONG else ["mkv"])
def test_a_film_that_is_served_in_part_is_recorded_as_far_as_it_goes(suffix, tmp_path):
    film = render(tmp_path / f"film.{suffix}", rate="10", seconds=3).read_bytes()

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(film)))
        handler.end_headers()
        handler.wfile.write(film[: len(film) * 2 // 3])

    out = tmp_path / "out" / "x.mp4"
    out.parent.mkdir()
    with served(answer) as address:
        words = ["infer", f"{address}/film.{suffix}", *quick("-t", "map", "-o", out)]
        done = subprocess.run(  # OpenCV's ffmpeg writes to the terminal of a process of its own
            [sys.executable, "-m", "sodcli", *map(str, words)], capture_output=True, text=True
        )
    assert done.returncode == 1, done.stderr
    ours = ("no display: ", "device: ", "error: ", f"{out}, ", address)
    lines = [line for line in done.stderr.splitlines() if " frames in " not in line]
    assert all(line.startswith(ours) for line in lines), done.stderr
    assert not leftovers(tmp_path)
    assert all_whole(out.parent) <= 1
