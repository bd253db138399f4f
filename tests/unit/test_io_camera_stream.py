"""Network streams as cameras, served on this machine."""

import threading

import numpy as np
import pytest

from sodcli.errors import SourceError, UsageError
from sodcli.infer.camera import Capture
from sodcli.io.camera.capture import live_label, live_source, open_camera
from tests.camera_kit import GREEN, motion_jpeg, served
from tests.film_kit import render


@pytest.mark.slow
def test_a_motion_jpeg_stream_is_read_and_reconnected():
    connections = []

    def answer(handler):
        connections.append(handler.path)
        motion_jpeg(handler, count=12 if len(connections) < 3 else 400)

    with served(answer) as address, open_camera(f"{address}/live.mjpg") as camera:
        first = camera.read()
        assert np.abs(first.rgb.mean((0, 1)) - GREEN).max() < 4
        assert first.name == "stream"
        for _ in range(60):
            camera.read()
    assert len(connections) >= 3


@pytest.mark.slow
def test_a_stream_that_stalls_is_reconnected():
    connections, over = [], threading.Event()

    def answer(handler):
        connections.append(handler.path)
        motion_jpeg(handler, count=40 if len(connections) == 1 else 400)
        over.wait()

    with served(answer) as address, open_camera(f"{address}/live.mjpg") as camera:
        with Capture(camera) as capture:
            taken = 0
            while taken < 60:
                taken += capture.newest(0.02) is not None
        over.set()
    assert len(connections) >= 2


@pytest.mark.slow
def test_a_stream_with_an_end_ends(tmp_path):
    film = render(tmp_path / "film.mp4", "-movflags", "faststart", rate="10", seconds=2)

    def answer(handler):
        data = film.read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    with served(answer) as address, open_camera(f"{address}/film.mp4") as camera:
        for _ in range(20):
            camera.read()
        with pytest.raises(SourceError, match="the stream has ended"):
            camera.read()


@pytest.mark.slow
def test_a_playlist_opens_no_file_of_this_machine(tmp_path):
    film = render(tmp_path / "film.ts", seconds=0.5)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{film}\n#EXT-X-ENDLIST\n"

    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(playlist.encode())

    with served(answer) as address, pytest.raises(SourceError, match="no stream there"):
        open_camera(f"{address}/live.m3u8")


def test_an_address_that_nobody_serves_is_reported():
    with pytest.raises(SourceError, match=r"^http://127.0.0.1:9/x: no stream there"):
        open_camera("http://user:secret@127.0.0.1:9/x")


def test_addresses_and_devices_are_distinguished_from_files():
    assert live_source(["rtsp://h/x"]) == "rtsp://h/x"
    assert live_source(["HTTPS://h/a.m3u8"]) == "HTTPS://h/a.m3u8"
    assert live_source(["udp://@:1234"]) == "udp://@:1234"
    assert live_source(["/dev/video2"]) == 2
    assert live_source(["http.png", "rtsp:/x"]) is None
    for address in ("rtsp://me:secret@h/x", "rtsp://me:sec@ret@h/x"):
        assert live_label(address) == "rtsp://h/x"
    for address in ("http://me:secret@h/a.JPG?w=800", "https://h/b.png"):
        with pytest.raises(UsageError, match=r"^https?://h/.*this is a photo; save it as a file"):
            live_source([address, "c.jpg"])
    with pytest.raises(UsageError, match=r"^rtsp://h/x is a stream, and a stream is the only"):
        live_source(["rtsp://me:secret@h/x", "a.jpg"])


def test_offline_opens_no_stream(sod):
    result = sod("infer", "http://127.0.0.1:9/x.mjpg", "-o", "x.mp4", "--offline")
    assert "--offline opens no stream" in result.stderr
    assert result.exit_code == 2
