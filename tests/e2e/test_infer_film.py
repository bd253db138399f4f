"""``sod infer`` on films: outputs, messages, interrupted runs and their leftovers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sodcli.imaging import compose
from sodcli.io.films.probe import probe
from tests.draw_kit import draw_photo
from tests.film_kit import (
    flash_film,
    late_film,
    onsets,
    paused_picture,
    picture_lengths,
    pixels,
    render,
    stamps,
)


@pytest.fixture
def film(tmp_path):
    return render(tmp_path / "clip.mp4", rate="30000/1001", size="96x64", sound=True, seconds=0.5)


def options(small_weights):
    return ("-w", small_weights, "--size", 64, "--device", "cpu", "--threads", 1)


@pytest.mark.parametrize("kind", ["map", "green", "blur", "overlay"])
def test_a_film_becomes_a_film_beside_it(sod, film, small_weights, kind):
    result = sod("infer", film, "-t", kind, *options(small_weights))
    target = film.with_name(f"clip_{kind}.mp4")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{target}\n"
    *first, head, line = result.stderr.splitlines()
    assert first in ([], ["making the graph of sdnet, once"])  # if an engine is installed
    assert head.startswith("device: cpu")
    assert re.fullmatch(
        rf"15 frames in \d+\.\d s, \d+\.\d frames/s: {re.escape(str(target))}", line
    )
    info = probe(target)
    assert (str(info.rate), info.size_wh, info.sound) == ("30000/1001", (96, 64), ("aac",))
    assert pixels(target).shape == (15, 64, 96, 3)


def test_a_cut_out_film_is_a_mov_with_alpha(sod, film, small_weights):
    result = sod("infer", film, "-q", *options(small_weights))
    target = film.with_name("clip_rgba.mov")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{target}\n", "")
    sod("infer", film, "-t", "map", *options(small_weights))
    maps = pixels(film.with_name("clip_map.mp4"), 1)[..., 0].astype(int)
    alpha = pixels(target, 4)[..., 3]
    assert alpha.shape == maps.shape
    assert np.abs(alpha - maps).mean() < 3  # the map was compressed by H.264, the alpha was not
    assert np.ptp(alpha) > 20


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [
        ("out.mp4", ["--steady", "none"], True),
        ("out.mov", ["--quality", "50"], True),
        ("out.webm", ["--frames", "2"], True),
        ("out.mp4", ["--no-clean"], False),  # for photos only
        ("out.gif", ["--steady", "none"], False),  # keeps no text
    ],
)
def test_a_film_of_other_settings_is_noticed(sod, film, tmp_path, small_weights, name, other, told):
    words = ["infer", film, "-t", "green", "--frames", 3, "-o", tmp_path / name]
    words += options(small_weights)
    sod(*words)
    skipped = f"{tmp_path / name}: exists{{}}, skipped (--overwrite replaces)\n"
    assert sod(*words).stderr == skipped.format("")
    shown = sod(*words, *other).stderr
    assert shown.endswith(skipped.format(", made with other settings" * told))


def test_a_registered_output_type_has_its_transparency(sod, film, small_weights, monkeypatch):
    monkeypatch.setattr(compose, "_TYPES", dict(compose._TYPES))

    @compose.composer("veil", alpha=True)
    def veil(frame, look):
        return np.dstack([frame.rgb, np.full(frame.size_hw, 100, np.uint8)])

    photo = film.with_name("photo.png")
    Image.fromarray(draw_photo()[0]).save(photo)
    result = sod("infer", photo, film, "-t", "veil", "-q", *options(small_weights))
    assert result.exit_code == 0, result.stderr
    made = [film.with_name("photo_veil.png"), film.with_name("clip_veil.mov")]
    assert result.stdout.split() == [str(path) for path in made]
    assert (np.asarray(Image.open(made[0]))[..., 3] == 100).all()
    assert np.abs(pixels(made[1], 4)[..., 3].astype(int) - 100).max() <= 3
    for source, target in ((photo, "x.jpg"), (film, "x.mp4")):
        refused = sod("infer", source, "-t", "veil", "-o", film.with_name(target))
        assert refused.exit_code == 2
        assert "transparency" in refused.stderr


def test_frames_of_a_cut_out_film_have_the_same_alpha(sod, film, small_weights):
    folder = film.with_name("frames")
    assert sod("infer", film, "-o", f"{folder}/", *options(small_weights)).exit_code == 0
    sod("infer", film, *options(small_weights))
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{index:05d}.png" for index in range(15)]
    frames = np.stack([np.asarray(Image.open(folder / name)) for name in names])
    alpha = pixels(film.with_name("clip_rgba.mov"), 4)[..., 3].astype(int)
    assert np.abs(alpha - frames[..., 3]).max() <= 1


def test_alpha_into_mp4_is_refused_before_any_work(sod, film, tmp_path):
    result = sod("infer", film, "-o", tmp_path / "clip_rgba.mp4", "-w", tmp_path / "none.pth")
    assert result.exit_code == 2
    told = f"error: cannot write transparency to {tmp_path / 'clip_rgba.mp4'}; use .mov, .webm, or "
    told += "a folder for PNG frames, or a type without it, such as blur\n"
    assert result.stderr == told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--codec", "vp"), "--codec vp: no such codec. Did you mean 'vp9'? Known: auto, h264"),
        (("--start", "1:x"), "Invalid value for '--start': '1:x' is no time; write 90, 1:30 or"),
        (("--start", "-3"), "Invalid value for '--start': '-3' is no time"),
        (("--start", "1:-30"), "Invalid value for '--start': '1:-30' is no time"),
        (("--duration", "0"), "Invalid value for '--duration': must be above 0"),
        (("--frames", "0"), "Invalid value for '--frames': "),
        (("-o", "-", "--codec", "gif"), "standard output: --codec gif does not go into .mkv"),
        (("-o", "x.jpg"), "x.jpg: no film format has this suffix; use one of .mp4"),
        (("-t", "map", "-o", "x.mov", "--codec", "vp9"), "x.mov: --codec vp9 does not go into"),
    ],
)
def test_wrong_usage_is_reported_at_once(sod, film, words, message):
    result = sod("infer", film, *words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")


def test_options_without_effect_on_films_are_named(sod, film):
    both = sod("infer", film, "-t", "blur", "--sound", film, "--no-audio")
    assert (both.exit_code, both.stderr) == (
        2,
        "error: --sound and --no-audio exclude each other\n",
    )
    words = ("infer", film, "-t", "blur", "--rate", 5, "--sound", film, "--dry-run", "-o")
    rate = "warning: --rate: without effect, no film is made of pictures\n"
    sound = "warning: --sound: without effect, no result is of a format with sound\n"
    assert sod(*words, film.with_name("a.mp4")).stderr == rate
    assert sod(*words, film.with_name("a.gif")).stderr == rate + sound
    assert sod(*words, f"{film.parent}/frames/", "--codec", "png").stderr == rate + sound


def test_a_folder_of_pictures_and_films_is_mirrored(sod, film, tmp_path, small_weights):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(draw_photo()[0]).save(folder / "photo.jpg")
    Image.fromarray(draw_photo()[0]).save(folder / "still.gif")
    film.rename(folder / "sub" / "clip.mp4")
    render(folder / "anim.gif", seconds=0.2)
    (folder / "bad.mkv").write_bytes(b"not a film")
    result = sod("infer", folder, "-r", "--json", *options(small_weights))
    assert result.exit_code == 3
    assert result.stderr.endswith("\n2 pictures and 3 films: 4 done, 1 failed\n")
    data = json.loads(result.stdout)
    assert (data["done"], data["failed"]) == (4, 1)
    rows = {row["output"].removeprefix(f"{tmp_path}/"): row for row in data["results"]}
    good = {"photo_rgba.png", "still_rgba.png", "anim_rgba.mov", "sub/clip_rgba.mov"}
    assert {name for name, row in rows.items() if row["status"] == "done"} == {
        f"in_rgba/{name}" for name in good
    }
    row = rows["in_rgba/sub/clip_rgba.mov"]
    assert row["frames"] == 15
    assert row["fps"] > 0
    assert row["warning"] is None
    assert "frames" not in rows["in_rgba/photo_rgba.png"]
    again = sod("infer", folder, "-r", "--dry-run")
    assert again.stdout == f"{tmp_path}/in_rgba/bad_rgba.mov\n"


def test_a_piece_with_and_without_sound(sod, tmp_path, small_weights):
    film = flash_film(tmp_path / "film.mp4", "-c:a", "aac")
    result = sod("infer", film, "-t", "blur", "--start", "0:00.8", "--frames", 40, "-o",
                 tmp_path / "a.mp4", *options(small_weights))  # fmt: skip
    assert result.exit_code == 0, result.stderr
    seen, heard = onsets(tmp_path / "a.mp4")
    assert seen == pytest.approx([0.2, 1.2], abs=0.041)
    assert heard == pytest.approx([0.2, 1.2], abs=0.041)
    assert len(pixels(tmp_path / "a.mp4")) == 40
    sod("infer", film, "-t", "blur", "--frames", 2, "--no-audio", "-o", tmp_path / "b.mp4",
        *options(small_weights))  # fmt: skip
    assert probe(tmp_path / "b.mp4").sound == ()


def test_a_film_can_be_the_background_of_pictures_and_films(sod, film, tmp_path, small_weights):
    Image.fromarray(draw_photo()[0]).save(tmp_path / "photo.png")
    back = render(tmp_path / "sea.mp4", "-vf", "drawbox=color=blue:t=fill", seconds=0.2)
    result = sod("infer", film, tmp_path / "photo.png", "-t", back, *options(small_weights))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == [
        str(tmp_path / "photo_sea.png"),
        str(tmp_path / "clip_sea.mp4"),
    ]
    assert len(pixels(tmp_path / "clip_sea.mp4")) == 15


def test_a_large_background_needs_max_pixels(sod, tmp_path):
    Image.new("RGB", (200, 100)).save(tmp_path / "back.png")
    Image.new("RGB", (20, 10)).save(tmp_path / "photo.png")
    result = sod("infer", tmp_path / "photo.png", "-t", tmp_path / "back.png",
                 "--max-pixels", 19_999)  # fmt: skip
    assert result.exit_code == 1
    assert "back.png: 200x100 is more than 19999 pixels" in result.stderr


def test_a_truncated_film_is_processed_with_a_warning(sod, film, small_weights):
    longer = render(film.with_name("long.mkv"), seconds=3)
    longer.write_bytes(longer.read_bytes()[: longer.stat().st_size // 2])
    result = sod("infer", longer, "-t", "map", *options(small_weights))
    assert result.exit_code == 0
    assert "warning: " in result.stderr
    assert "long.mkv: the file is damaged and ends after" in result.stderr
    assert probe(film.with_name("long_map.mp4")).duration_s > 0.5


def test_the_last_frame_keeps_its_duration(sod, tmp_path, small_weights):
    source = paused_picture(tmp_path / "pause.gif")
    result = sod("infer", source, "-t", "white", "-o", tmp_path / "out.gif",
                 *options(small_weights))  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "10 frames in" in result.stderr
    assert picture_lengths(tmp_path / "out.gif") == picture_lengths(source)


def test_a_film_with_late_picture_stays_in_sync(sod, tmp_path, small_weights):
    film = late_film(tmp_path / "film.mp4")
    for words, first, last in [((), 1.0, 3.9), (("--start", "2.7"), 0.8, 1.2)]:
        result = sod("infer", film, "-t", "blur", "-o", tmp_path / "out.mp4", *words,
                     "--overwrite", *options(small_weights))  # fmt: skip
        assert result.exit_code == 0, result.stderr
        times = stamps(tmp_path / "out.mp4")
        assert (times[0], times[-1]) == pytest.approx((first, last), abs=1e-3)


def start(film, small_weights, *words):
    """Start a run in a separate process and wait until its encoder has written something."""
    command = [sys.executable, "-m", "sodcli", "infer", film, "-t", "map", *words]
    command += options(small_weights)
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 900
    while not any(p.stat().st_size for p in film.parent.glob(".sod-*/picture*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to a child on Windows")
def test_ctrl_c_leaves_a_playable_film(tmp_path, small_weights):
    film = render(tmp_path / "film.mp4", sound=True, seconds=200)
    process = start(film, small_weights)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 130
    assert out == ""
    partial = tmp_path / "film_map.partial.mkv"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "film.mp4", partial.name, "sdnet.pth"]  # fmt: skip
    count = len(pixels(partial))
    assert 0 < count < 5000
    assert f"kept {count} frames in {partial}\ninterrupted\n" in err
    assert probe(partial).sound == ("aac",)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_a_killed_run_leaves_one_hidden_folder_that_the_next_run_removes(
    sod, tmp_path, small_weights
):
    film = render(tmp_path / "film.mp4", seconds=200)
    process = start(film, small_weights)
    process.kill()
    process.communicate(timeout=900)
    left = {path.name for path in tmp_path.iterdir()} - {"film.mp4", "sdnet.pth"}
    assert len(left) == 1
    assert left.pop().startswith(".sod-film-")
    sod("infer", film, "-t", "map", "--frames", 2, *options(small_weights))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["film.mp4", "film_map.mp4", "sdnet.pth"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the decoder in /proc")
def test_a_killed_decoder_fails_the_film_and_keeps_the_old_output(tmp_path, small_weights):
    film = render(tmp_path / "film.mp4", seconds=200)
    (tmp_path / "film_map.mp4").write_bytes(b"an earlier film")
    process = start(film, small_weights, "--overwrite")
    (decoder,) = (pid for pid in children(process.pid) if b"pipe:1" in words_of(pid))
    os.kill(decoder, signal.SIGKILL)
    out, err = process.communicate(timeout=900)
    assert process.returncode != 0
    assert out == ""
    assert re.search(r"film.mp4: ffmpeg was ended by SIGKILL after \d+ frames?\n", err)
    assert (tmp_path / "film_map.mp4").read_bytes() == b"an earlier film"
    assert not list(tmp_path.glob(".sod-*"))


def children(pid):
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in lists for child in path.read_text().split()]


def words_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
