"""``sod infer`` with pipes: films and series of pictures, in and out."""

import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from sodcli.io.films.probe import probe
from sodcli.io.pipe import Pipe
from tests.camera_kit import StandIn
from tests.film_kit import ffmpeg, flash_film, late_film, onsets, pixels, render, stamps, told

OPTIONS = ("--size", 64, "--device", "cpu", "--threads", 1)  # of the built-in network


def series(path, encoder="png"):
    """Return the frames of a film as concatenated pictures."""
    return ffmpeg("-i", path, "-f", "image2pipe", "-c:v", encoder, "-")


@pytest.fixture
def film(tmp_path):
    return render(tmp_path / "in.mp4", size="96x64", seconds=0.48, sound=True)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["png", "ppm", "mjpeg", "bmp"])
def test_every_picture_from_a_pipe_is_processed(sod, film, encoder):
    result = sod("infer", "-", "-t", "map", *OPTIONS, stdin=series(film, encoder))
    assert result.exit_code == 0, result.stderr
    found = list(Pipe(io.BytesIO(result.stdout_bytes)).pictures())
    shown = np.stack([np.asarray(Image.open(io.BytesIO(one))) for one in found])
    assert shown.shape == (12, 64, 96)
    same = film.with_name("rgb.mkv")  # ffmpeg converts a film's planes as it did for the pictures
    ffmpeg("-i", film, "-c:v", "ffv1", "-pix_fmt", "bgr0", same)
    sod("infer", same, "-t", "map", "-o", film.with_name("maps"), "--codec", "png", *OPTIONS)
    files = sorted(film.with_name("maps").iterdir())
    wanted = np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in files])
    assert encoder == "mjpeg" or np.abs(shown.astype(int) - wanted).max() <= 1


@pytest.mark.slow
def test_pictures_from_a_pipe_become_files_or_a_film(sod, film, tmp_path):
    data, words = series(film), OPTIONS
    folder = tmp_path / "frames"
    assert sod("infer", "-", "-o", f"{folder}/", *words, stdin=data).stdout == f"{folder}\n"
    assert sorted(path.name for path in folder.iterdir()) == [f"{n:05d}.png" for n in range(12)]
    assert cv2.imread(str(folder / "00011.png"), cv2.IMREAD_UNCHANGED).shape == (64, 96, 4)
    out = tmp_path / "out.mp4"
    result = sod("infer", "-", "-t", "green", "-o", out, "--rate", "24", "--start", "0.1",
                 "--sound", film, *words, stdin=data)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    info = probe(out)
    assert (len(pixels(out)), info.rate, info.sound) == (10, 24, ("aac",))
    result = sod("infer", "-", "-t", "map", "--format", "jpg", "--frames", 3, *words, stdin=data)
    found = list(Pipe(io.BytesIO(result.stdout_bytes)).pictures())
    assert [Image.open(io.BytesIO(one)).format for one in found] == ["JPEG"] * 3


@pytest.mark.slow
def test_pictures_from_a_pipe_may_differ_in_size_except_in_a_film(sod, film):
    small = render(film.with_name("small.mp4"), size="64x48", seconds=0.04)
    data, words = series(film) + series(small), OPTIONS
    result = sod("infer", "-", "-t", "map", *words, stdin=data)
    assert result.exit_code == 0, result.stderr
    *_, last = Pipe(io.BytesIO(result.stdout_bytes)).pictures()
    assert Image.open(io.BytesIO(last)).size == (64, 48)
    out = film.with_name("out.mp4")
    result = sod("infer", "-", "-t", "map", "-o", out, *words, stdin=data)
    assert "error: stdin, picture 13: 64x48, the first is 96x64\n" in result.stderr
    assert result.exit_code == 1
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".webm", ".gif"])
def test_a_film_is_read_from_a_pipe(sod, tmp_path, suffix):
    source = render(tmp_path / f"in{suffix}", seconds=0.4, sound=suffix != ".gif")
    words = ["-t", "green", "-t", "map", "-o", f"{tmp_path}/out/"]
    data = source.read_bytes()
    result = sod("infer", "-", *words, *OPTIONS, stdin=data)
    assert result.exit_code == 0, result.stderr
    for kind in ("green", "map"):
        made = tmp_path / "out" / f"stdin_{kind}.mp4"
        assert (len(pixels(made)), len(probe(made).sound)) == (10, suffix != ".gif")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "kind", "named"),
    [
        ("auto", "green", "h264"),
        ("h264", "map", "h264"),
        ("prores", "rgba", "prores"),
        ("vp9", "rgba", "vp9"),
        ("auto", "rgba", "ffv1"),
    ],
)
def test_a_film_is_written_to_a_pipe(sod, tmp_path, codec, kind, named):
    source = flash_film(tmp_path / "in.mov", "-c:a", "aac", "-timecode", "01:02:03:04",
                        "-metadata", "title=A day")  # fmt: skip
    words = ["-t", kind, "--codec", codec, "--start", "0.8", "--frames", "30"]
    result = sod("infer", source, *words, "-o", "-", *OPTIONS)
    assert result.exit_code == 0, result.stderr
    out = tmp_path / "out.mkv"
    out.write_bytes(result.stdout_bytes)
    about = told(out)
    assert "Input #0, matroska" in about
    for text in (f"Video: {named}", "Audio: aac", "A day", "01:02:03:24"):
        assert text in about
    assert len(pixels(out, 3)) == 30
    if kind == "green":
        assert onsets(out)[1][0] == pytest.approx(0.2, abs=0.041)
    if kind == "rgba":
        assert probe(out).alpha


@pytest.mark.slow
def test_a_variable_rate_is_kept_through_pipes(sod, tmp_path):
    source = late_film(tmp_path / "in.mp4")
    words = ["-t", "green", *OPTIONS]
    result = sod("infer", "-", *words, stdin=source.read_bytes())
    assert result.exit_code == 0, result.stderr
    out = tmp_path / "out.mkv"
    out.write_bytes(result.stdout_bytes)
    assert stamps(out) == pytest.approx(stamps(source), abs=2e-3)


@pytest.mark.slow
def test_frames_of_a_film_are_written_as_pictures(sod, film):
    result = sod("infer", film, "-o", "-", "--codec", "png", *OPTIONS)
    found = list(Pipe(io.BytesIO(result.stdout_bytes)).pictures())
    assert {Image.open(io.BytesIO(one)).mode for one in found} == {"RGBA"}
    assert len(found) == 12


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "png"])
def test_a_closed_output_pipe_is_an_error_of_one_line(film, codec):
    longer = render(film.with_name("long.mp4"), size="640x360", seconds=4)
    words = [sys.executable, "-m", "sodcli", "infer", longer, "-t", "overlay", "-o", "-"]
    words += ["--codec", codec, *OPTIONS]
    command = [str(word) for word in words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(5000)
    process.stdout.close()
    said = process.stderr.read().decode().splitlines()
    process.stderr.close()
    assert process.wait(timeout=900) == 1
    assert said[-1] == "error: cannot write to standard output: Broken pipe"
    assert not [line for line in said if "Exception" in line or "Traceback" in line]


@pytest.mark.slow
def test_a_camera_is_written_to_a_pipe(sod, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", StandIn(size_wh=(64, 48)))
    words = ["-t", "map", "-o", "-", "--no-show", "--frames", "5"]
    result = sod("infer", "0", *words, *OPTIONS)
    assert result.exit_code == 0, result.stderr
    out = tmp_path / "out.mkv"
    out.write_bytes(result.stdout_bytes)
    assert pixels(out).shape == (5, 48, 64, 3)
    assert "--json cannot both go" in sod("infer", "0", *words, "--json").stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-o", "x.jpg"], 2, "x.jpg: no film format has this suffix"),
        (
            ["-t", "map", "-t", "rgba", "-o", "x/"],
            2,
            "a series of pictures on standard input",
        ),
        (["-t", "rgba", "--codec", "h264"], 2, "cannot write transparency to standard output"),
        (["--codec", "gif"], 2, "standard output: --codec gif does not go into .mkv"),
        (["--json"], 2, "the film and --json cannot both go to standard output"),
        (["--crop"], 2, "--crop, --margin and --canvas: for photos only; leave out -"),
        (["--start", "9", "-t", "map"], 1, "stdin: no frame after --start 9"),
    ],
)
def test_impossible_pipes_are_errors_of_one_line(sod, words, code, message):
    two = io.BytesIO()
    for shade in ("red", "blue"):
        Image.new("RGB", (64, 48), shade).save(two, "PNG")
    result = sod("infer", "-", *words, stdin=two.getvalue())
    assert (result.exit_code, result.stdout) == (code, "")
    assert f"error: {message}" in result.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_bad_picture_or_film_in_a_pipe_is_reported(sod, film):
    data, words = series(film), ["-t", "map", *OPTIONS]
    cut = sod("infer", "-", *words, stdin=data[: len(data) * 3 // 4])
    assert cut.exit_code == 1
    assert "error: stdin: truncated or corrupt\n" in cut.stderr
    result = sod("infer", "-", *words, stdin=film.read_bytes()[:2000])
    assert result.exit_code == 1
    assert "error: stdin: not a film, or damaged" in result.stderr
    result = sod("infer", "-", "-o", "x.mp4", "--json", *words, stdin=film.read_bytes()[:2000])
    (row,) = json.loads(result.stdout)["results"]
    assert (row["input"], row["status"]) == ("-", "failed")
