"""Writing films: every container, with sound and alpha, completely or not at all."""

import os
import re
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sodcli.errors import SinkError, UsageError
from sodcli.files import temporary_folder
from sodcli.io.films import write as film_write
from sodcli.io.films.frame_folder import FrameFolder
from sodcli.io.films.probe import probe
from sodcli.io.films.write import FilmWriter
from tests.conftest import rare
from tests.film_kit import (
    ffmpeg,
    flash_film,
    lengths,
    onsets,
    picture_lengths,
    pixels,
    render,
    stamps,
    told,
)

RATE = Fraction(30000, 1001)
SLOPE = np.arange(96)[None] * 255 // 95 * np.ones((64, 1), int)  # 0 on the left, 255 on the right


def picture(index, channels=3, size_hw=(64, 96)):
    """Return a frame: red increases with time, the last channel from left to right."""
    height, width = size_hw
    out = np.full((height, width, channels), 60 + index * 4 % 120, np.uint8)
    out[..., -1] = SLOPE[:1, :width] if width <= 96 else 128
    return out[..., 0] if channels == 1 else out


def write(target, count=12, channels=3, size_hw=(64, 96), times=None, **options):
    options = {"rate": RATE, "alpha": channels == 4, **options}
    with FilmWriter(target, size_wh=size_hw[::-1], **options) as film:
        for index in range(count):
            film.write(picture(index, channels, size_hw), times[index] if times else None)
    return target


OPAQUE = [("a.mp4", "h264"), ("a.gif", "gif"),
          *rare(("a.m4v", "h264"), ("a.mov", "h264"), ("a.mkv", "h264"), ("a.webm", "vp9"),
                ("a.mp4", "h265"), ("a.mkv", "vp9"), ("a.mp4", "av1"), ("a.mov", "prores"),
                ("a.mkv", "ffv1"), ("a.apng", "apng"), ("a.png", "apng"),
                ("a.webp", "webp"))]  # fmt: skip


@pytest.mark.parametrize(("name", "codec"), OPAQUE)
@pytest.mark.parametrize("size_hw", [(65, 97), pytest.param((64, 96), marks=pytest.mark.slow)])
def test_opaque_films_of_every_kind_decode_to_what_was_written(tmp_path, name, codec, size_hw):
    target = write(tmp_path / name, size_hw=size_hw, codec=codec)
    if codec == "webp":  # not every ffmpeg decodes the WebP that it wrote
        with Image.open(target) as image:
            assert image.n_frames == 12
        return
    film = pixels(target)
    height, width = size_hw
    even = codec in ("h264", "h265", "av1", "prores")
    assert film.shape == (12, height + (even and height % 2), width + (even and width % 2), 3)
    for index in (0, 11):
        error = np.abs(film[index, :height, :width].astype(int) - picture(index, 3, size_hw))
        assert error.mean() < (4 if codec == "gif" else 2.5)
    assert float(probe(target).average) == pytest.approx(float(RATE), rel=0.12)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.mp4", *rare("a.webm", "a.mov", "a.mkv")])
@pytest.mark.parametrize(
    "rate", [RATE, *rare(Fraction(24000, 1001), Fraction(25), Fraction(15, 2))]
)
def test_the_rate_stays_exact(tmp_path, name, rate):
    info = probe(write(tmp_path / name, rate=rate))
    assert (info.rate, info.variable) == (rate, False)


@pytest.mark.parametrize(
    "name", ["a.mov", "a.webm", *rare("a.mkv", "a.apng", "a.png", "vp9.mkv", "a.webp")]
)
@pytest.mark.parametrize("size_hw", [(63, 95), pytest.param((64, 96), marks=pytest.mark.slow)])
def test_alpha_decodes_to_what_was_written(tmp_path, name, size_hw):
    codec = "vp9" if name == "vp9.mkv" else "auto"
    target = write(tmp_path / name, channels=4, size_hw=size_hw, codec=codec)
    if name == "a.webp":
        with Image.open(target) as image:
            image.seek(11)
            film = np.asarray(image.convert("RGBA"))[None]
            assert image.n_frames == 12
    else:
        film = pixels(
            target, 4, *(["-c:v", "libvpx-vp9"] if "webm" in name or codec == "vp9" else [])
        )
        assert film.shape == (12, *size_hw, 4)
    error = np.abs(film[-1].astype(int) - picture(11, 4, size_hw))
    assert error[..., 3].mean() < 1
    assert error[..., 3].max() <= 4
    assert error[:, 48:, :3].mean() < 2  # where alpha is high


@pytest.mark.slow
def test_alpha_and_colours_are_tagged_for_players(tmp_path):
    assert "yuva444p" in told(write(tmp_path / "a.mov", channels=4))
    webm = write(tmp_path / "a.webm", channels=4)
    assert b"\x53\xc0\x81\x01" in webm.read_bytes()  # Matroska's AlphaMode
    mp4 = write(tmp_path / "a.mp4")
    assert "yuv420p(tv, bt709" in told(mp4)
    data = mp4.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")  # faststart


def test_a_grey_film_keeps_the_full_range(tmp_path):
    target = tmp_path / "map.mp4"
    grey = np.clip(SLOPE * 2 - 128, 0, 255)  # one quarter is black, one white
    with FilmWriter(target, size_wh=(96, 64), rate=RATE) as film:
        for _ in range(5):
            film.write(grey.astype(np.uint8))
    out = pixels(target, 1)[2, ..., 0].astype(int)
    assert np.abs(out - grey).mean() < 2
    assert out.min() <= 2
    assert out.max() >= 253


TIMES = [0.0, 0.1, 0.15, 0.4, 0.41, 0.8, 1.0, 1.7, 1.75, 2.0, 2.3, 2.31]


@pytest.mark.parametrize(
    ("name", "within"),
    [("a.mp4", 1e-4), *rare(("a.webm", 1e-3), ("a.mov", 1e-4), ("a.mkv", 1e-3), ("a.gif", 6e-3))],
)
def test_frames_keep_their_presentation_times(tmp_path, name, within):
    target = write(tmp_path / name, times=TIMES, rate=Fraction(10))
    assert stamps(target) == pytest.approx(TIMES, abs=within)
    if name in ("a.mkv", "a.webm"):
        assert "10 fps" in told(target)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "b.mp4", "b.mkv", "a.gif"])
@pytest.mark.parametrize("last_s", [3.0, 0.05])
def test_the_last_frame_keeps_its_duration(tmp_path, name, last_s):
    codec = {"b.mp4": "h265", "b.mkv": "ffv1"}.get(name, "auto")
    options = {"size_wh": (96, 64), "rate": Fraction(10), "codec": codec}
    with FilmWriter(tmp_path / name, **options) as film:
        for index, time in enumerate(TIMES):
            film.write(picture(index), time)
        film.extend_to(TIMES[-1] + last_s)
    assert film.seconds == pytest.approx(TIMES[-1] + last_s)
    assert lengths(tmp_path / name)[-1] == pytest.approx(last_s, abs=2e-3)
    assert len(pixels(tmp_path / name)) == len(TIMES)  # no frame is added
    assert stamps(tmp_path / name) == pytest.approx(TIMES, abs=6e-3)
    assert probe(tmp_path / name).duration_s == pytest.approx(TIMES[-1] + last_s, abs=0.03)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", *rare("a.apng", "a.PNG")])
def test_the_last_frame_of_an_animated_picture_keeps_its_duration(tmp_path, name):
    times = [1.0, 1.1, 1.3, 1.4]  # the output starts at its first frame
    with FilmWriter(tmp_path / name, size_wh=(96, 64), rate=Fraction(10)) as film:
        for time in times:
            film.write(picture(0), time)  # encoders may merge equal frames
        film.write(picture(20), 1.5)
        film.extend_to(4.5)
    each = picture_lengths(tmp_path / name)
    assert each[-1] == pytest.approx(3.0, abs=1e-3)
    assert sum(each) == pytest.approx(3.5, abs=1e-3)
    with Image.open(tmp_path / name) as image:
        assert image.info["loop"] == 0  # for ever


@pytest.mark.parametrize("channels", [3, *rare(4)])
@pytest.mark.parametrize("name", ["a.gif", "a.webp", *rare("a.apng")])
def test_a_still_scene_keeps_its_length(tmp_path, name, channels):
    if (name, channels) == ("a.gif", 4):
        pytest.skip("no alpha in .gif")
    film = FilmWriter(tmp_path / name, size_wh=(96, 64), rate=Fraction(10), alpha=channels == 4)
    with film:
        for _ in range(12):
            film.write(np.full((64, 96, channels), 90, np.uint8))
    assert sum(picture_lengths(tmp_path / name)) == pytest.approx(1.2, abs=0.011)


def test_by_default_the_last_frame_lasts_for_one_frame(tmp_path):
    assert lengths(write(tmp_path / "a.mp4", times=TIMES, rate=Fraction(4)))[-1] == 0.25
    with opened(tmp_path / "b.mp4") as film:
        film.write(picture(0))
        film.extend_to(9.0)  # the duration of frames without times follows the rate
    assert film.seconds == pytest.approx(1.001 / 30)


def test_sound_lasts_as_long_as_the_last_frame(tmp_path):
    source = render(tmp_path / "in.mp4", sound=True, seconds=6)
    with FilmWriter(tmp_path / "a.mp4", size_wh=(96, 64), rate=Fraction(10), sound=source) as film:
        film.write(picture(0), 0.0)
        film.write(picture(1), 0.1)
        film.extend_to(4.0)
    ffmpeg("-i", tmp_path / "a.mp4", "-map", "0:a", "-c", "copy", tmp_path / "a.mka")
    assert probe_length(tmp_path / "a.mka") == pytest.approx(4.0, abs=0.05)


def probe_length(path):
    hours, minutes, seconds = re.search(r"Duration: (\d+):(\d+):([\d.]+)", told(path)).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


@pytest.mark.parametrize("name", ["a.mp4", *rare("a.mov", "a.mkv", "a.webm")])
def test_a_picture_that_starts_after_its_sound_starts_late_in_the_output(tmp_path, name):
    source = render(tmp_path / "in.mp4", sound=True, seconds=4)
    times = [1 + time for time in TIMES]
    target = write(tmp_path / name, times=times, rate=Fraction(10), sound=source)
    assert probe(target).sound
    assert stamps(target) == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("name", ["a.mp4", *rare("a.mkv", "a.webm", "a.gif")])
def test_without_sound_a_film_starts_with_its_first_frame(tmp_path, name):
    target = write(tmp_path / name, times=[1 + time for time in TIMES], rate=Fraction(10))
    assert stamps(target) == pytest.approx(TIMES, abs=6e-3)


def test_a_pause_before_the_last_frame_counts_in_the_length_of_an_mp4(tmp_path):
    times = [index / 10 for index in range(10)] + [5.0]
    info = probe(write(tmp_path / "a.mp4", count=11, times=times, rate=Fraction(10)))
    assert info.duration_s == pytest.approx(5.1, abs=0.02)


@pytest.mark.slow
def test_alpha_and_presentation_times_are_kept_together(tmp_path):
    target = write(tmp_path / "a.mov", channels=4, times=TIMES, rate=Fraction(10))
    assert stamps(target) == pytest.approx(TIMES, abs=1e-4)
    assert np.abs(pixels(target, 4)[5, ..., 3].astype(int) - SLOPE).max() <= 4


@pytest.mark.parametrize(
    ("sound", "target", "codec"),
    [
        ("pcm_s16le", "a.mp4", "aac"),
        *rare(
            ("aac", "a.mp4", "aac"),
            ("aac", "a.webm", "opus"),
            ("aac", "a.mov", "aac"),
            ("aac", "a.mkv", "aac"),
            ("libopus", "a.webm", "opus"),
            ("libopus", "a.mp4", "aac"),
            ("flac", "a.mp4", "aac"),
            ("flac", "a.mkv", "flac"),
            ("pcm_s16le", "a.mov", "pcm_s16le"),
            ("libmp3lame", "a.mp4", "mp3"),
            ("libmp3lame", "a.m4v", "aac"),
            ("pcm_s16le", "a.m4v", "aac"),
            ("pcm_s24be", "a.mov", "pcm_s24be"),
            ("libopus", "a.mov", "aac"),
        ),
    ],
)
def test_sound_is_copied_or_converted_for_the_container(tmp_path, sound, target, codec):
    source = render(tmp_path / "in.mkv", "-c:a", sound, sound=True, seconds=2)
    out = write(tmp_path / target, count=30, sound=source)
    assert probe(out).sound == (codec,)
    assert probe(out).duration_s == pytest.approx(30 * 1.001 / 30, abs=0.05)


@pytest.mark.slow
def test_sound_of_six_channels_goes_into_webm(tmp_path):
    source = tmp_path / "in.mkv"
    layout = "sine=440:d=1,aformat=channel_layouts=mono,pan=5.1(side)|FL=c0|LFE=c0"
    ffmpeg("-f", "lavfi", "-i", layout, "-c:a", "flac", source)
    assert probe(write(tmp_path / "a.webm", sound=source)).sound == ("opus",)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.mov"])
@pytest.mark.parametrize("start", [0.72, 0.0])
def test_sound_stays_in_step(tmp_path, name, start):
    """Flashes of the output are within one frame (25 a second) of the beeps of the source."""
    source = flash_film(tmp_path / "in.mp4", "-c:a", "aac")
    flashes = pixels(source)[round(start * 25) :]
    size_wh = (64, 48)
    with FilmWriter(
        tmp_path / name, size_wh=size_wh, rate=Fraction(25), sound=source, start_s=start
    ) as film:
        for frame in flashes:
            film.write(frame)
    seen, heard = onsets(tmp_path / name)
    assert len(seen) == len(heard) == 2
    assert np.abs(seen - heard).max() <= 1 / 25
    assert np.abs(heard - (np.array([1, 2]) - start)).max() <= 1 / 25


def test_all_sound_tracks_are_kept(tmp_path):
    one = render(tmp_path / "one.mp4", sound=True)
    two = tmp_path / "two.mkv"
    ffmpeg("-i", one, "-map", "0:a", "-map", "0:a", "-c", "copy", two)
    assert probe(write(tmp_path / "a.mp4", sound=two)).sound == ("aac", "aac")


def test_a_film_without_sound_gives_a_film_without_sound(tmp_path):
    silent = render(tmp_path / "silent.mp4")
    assert probe(write(tmp_path / "a.mp4", sound=silent)).sound == ()


@pytest.mark.parametrize(
    ("name", "channels"), [("a.mp4", 3), ("a.mov", 4), *rare(("a.webm", 4), ("a.gif", 3))]
)
def test_a_film_of_one_frame_is_written(tmp_path, name, channels):
    assert len(pixels(write(tmp_path / name, count=1, channels=channels))) == 1


@pytest.mark.parametrize(
    ("name", "alpha", "codec", "message"),
    [
        ("a.mp4", True, "auto",
         "cannot write transparency to a.mp4; use .mov, .webm, or a folder for PNG frames"),
        ("a.mov", True, "h264",
         "cannot write transparency to a.mov; use .mov, .webm, or a folder for PNG frames"),
        ("a.gif", True, "auto",
         "cannot write transparency to a.gif; use .webp, .apng, or a folder for PNG frames"),
        ("a.mp4", True, "vp9",
         "cannot write transparency to a.mp4; use .mov, .webm, or a folder for PNG frames"),
        ("a.xyz", False, "auto", "a.xyz: no film format has this suffix; use one of .mp4, "),
        ("a.mov", False, "vp9", "a.mov: --codec vp9 does not go into .mov; use .webm, .mkv, .mp4"),
        ("a.mov", False, "h263", "--codec h263: no such codec. Did you mean 'h265'? "),
    ],
)  # fmt: skip
def test_impossible_outputs_are_refused_before_the_first_frame(
    name, alpha, codec, message, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        FilmWriter(Path(name), size_wh=(8, 8), rate=RATE, alpha=alpha, codec=codec)
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_wrong_frames_are_value_errors(tmp_path):
    with pytest.raises(ValueError, match="frame is"):
        write(tmp_path / "a.mp4", channels=4, alpha=False)
    for wrong in (np.zeros((64, 95, 3), np.uint8), np.zeros((64, 96, 3), np.float32)):
        with pytest.raises(ValueError, match="frame is"):
            with FilmWriter(tmp_path / "a.mp4", size_wh=(96, 64), rate=RATE) as film:
                film.write(wrong)
    with pytest.raises(ValueError, match="with times or without"):
        write(tmp_path / "a.mp4", times=[0.0, None] * 6)
    with pytest.raises(UsageError, match="no film has"):
        FilmWriter(tmp_path / "a.mp4", size_wh=(70000, 2), rate=RATE)
    assert list(tmp_path.iterdir()) == []


class BoomError(Exception):
    pass


@pytest.mark.parametrize("failure", [BoomError, SinkError])
@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "frames"])
def test_a_failure_leaves_the_old_file(tmp_path, failure, name):
    target = tmp_path / name
    if target.suffix:
        target.write_bytes(b"old")
    with pytest.raises(failure):
        with opened(target) as film:
            film.write(picture(0))
            raise failure
    assert [path.name for path in tmp_path.iterdir()] == [name] * bool(target.suffix)
    assert not target.suffix or target.read_bytes() == b"old"


def opened(target, **options):
    if not target.suffix:
        return FrameFolder(target, rate=RATE)
    return FilmWriter(target, size_wh=(96, 64), rate=RATE, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kept"),
    [("a.mp4", "a.partial.mkv"), ("a.webm", "a.partial.mkv"), ("a.gif", "a.partial.gif")],
)
def test_an_interrupted_film_can_be_played(tmp_path, name, kept):
    source = render(tmp_path / "in.mp4", sound=True, seconds=9)
    with pytest.raises(KeyboardInterrupt):
        with opened(tmp_path / name, sound=source) as film:
            for index in range(30):
                film.write(picture(index))
            raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([kept, "in.mp4"])
    assert film.partial == tmp_path / kept
    assert len(pixels(film.partial)) == 30
    if name != "a.gif":
        info = probe(film.partial)
        assert info.sound == ("aac",)
        assert info.duration_s == pytest.approx(1.0, abs=0.1)


def test_an_interrupt_before_the_first_frame_leaves_no_file(tmp_path):
    for target in (tmp_path / "a.mp4", tmp_path / "frames"):
        with pytest.raises(KeyboardInterrupt), opened(target) as film:
            raise KeyboardInterrupt
        assert film.partial is None
    assert list(tmp_path.iterdir()) == []


def test_a_second_interrupt_stops_at_once_and_cleans_up(tmp_path, monkeypatch):
    def again(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("sodcli.io.films.write.run", again)
    with pytest.raises(KeyboardInterrupt), opened(tmp_path / "a.mp4") as film:
        film.write(picture(0))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_film_without_frames_is_not_written(tmp_path):
    with pytest.raises(SinkError, match=r"a.mp4: the film has no frame$"):
        with opened(tmp_path / "a.mp4"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").touch()
    for target in (tmp_path / "file" / "a.mp4", tmp_path / "file" / "frames"):
        with pytest.raises(SinkError, match=r"^cannot write .*: (Not a directory|File exists)$"):
            opened(target).__enter__()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no limit of file sizes on Windows")
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "frames"])
def test_a_full_disk_is_an_error_of_one_line_and_leaves_no_file(tmp_path, name):
    """Run a child process with a file size limit of 40 kB, like a full disk."""
    script = f"""
import numpy as np, resource, sys
from fractions import Fraction
from pathlib import Path
from sodcli.errors import SinkError
from sodcli.io.films.write import FilmWriter
from sodcli.io.films.frame_folder import FrameFolder
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
rng = np.random.default_rng(0)
target, rate = Path({str(tmp_path / name)!r}), Fraction(25)
wh = (160, 128)
film = FilmWriter(target, size_wh=wh, rate=rate) if target.suffix else FrameFolder(target,rate=rate)
try:
    with film:
        for _ in range(200):
            film.write(rng.integers(0, 256, (128, 160, 3), np.uint8))
except SinkError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"cannot write {tmp_path / name}: ")
    assert done.stderr.count("\n") == 1
    assert any(word in done.stderr for word in ("too large", "SIGXFSZ", "No space"))
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_killed_run_are_removed_and_those_of_a_running_one_kept(tmp_path):
    script = f"""
from pathlib import Path
import os, signal
from sodcli.files import temporary_folder
with temporary_folder(Path({str(tmp_path)!r}), "film") as shop:
    (shop / "picture.mp4").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    code = subprocess.run([sys.executable, "-c", script], check=False).returncode
    assert code == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".sod-")
    with temporary_folder(tmp_path, "film") as first:
        assert not left.exists()
        with temporary_folder(tmp_path, "film"):
            assert first.exists()
    assert list(tmp_path.iterdir()) == []


def test_frames_replace_those_of_a_longer_run(tmp_path):
    target = tmp_path / "frames"
    for count in (7, 4):
        with FrameFolder(target, rate=RATE) as film:
            for index in range(count):
                film.write(picture(index, 4))
        (target / "notes.txt").touch()
        assert film.seconds == pytest.approx(count / float(RATE))
    names = sorted(path.name for path in target.iterdir())
    assert names == ["00000.png", "00001.png", "00002.png", "00003.png", "notes.txt"]
    assert np.array_equal(np.asarray(Image.open(target / "00003.png")), picture(3, 4))


def test_interrupted_frames_are_kept_apart(tmp_path):
    with pytest.raises(KeyboardInterrupt), FrameFolder(tmp_path / "frames", rate=RATE) as film:
        film.write(picture(0))
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["frames.partial"]
    assert [path.name for path in film.partial.iterdir()] == ["00000.png"]


def test_a_film_is_written_even_if_its_sound_cannot_be_kept(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no sound")
    target = tmp_path / "a.mp4"
    with opened(target, sound=tmp_path / "broken.mp4") as film:
        film.write(picture(0))
    assert film.damage.startswith(f"{target}: written without sound (")
    assert len(pixels(target)) == 1


def test_an_interrupt_while_closing_keeps_the_film(tmp_path, monkeypatch):
    run, calls = film_write.run, []

    def interrupted_once(args):
        calls.append(args)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return run(args)

    monkeypatch.setattr(film_write, "run", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        with opened(tmp_path / "a.mp4") as film:
            film.write(picture(0))
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial.mkv"]
    assert len(pixels(film.partial)) == 1


def test_a_target_that_cannot_be_replaced_is_reported(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(SinkError, match=r"^cannot write .*a.mp4: Is a directory$"):
        write(tmp_path / "a.mp4", count=1)
    (tmp_path / "frames").touch()
    with pytest.raises(SinkError, match=r"^cannot write .*frames: Not a directory$"):
        with opened(tmp_path / "frames") as film:
            film.write(picture(0))


def test_a_size_that_no_encoder_supports_is_reported(tmp_path):
    with pytest.raises(SinkError, match=r"^cannot write .*a.mp4: "):
        write(tmp_path / "a.mp4", size_hw=(2, 40_000), count=1)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "h264"), *rare(("a.webm", "vp9"), ("a.webp", "webp"))]
)
def test_quality_is_mapped_to_the_scale_of_the_codec(tmp_path, name, codec):
    sizes = []
    for quality in (10, 60, 95):
        target = write(tmp_path / f"{quality}{name}", codec=codec, quality=quality)
        sizes.append(target.stat().st_size)
    assert sizes == sorted(sizes)
    assert sizes[2] > 1.5 * sizes[0]
