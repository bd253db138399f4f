"""Reading films: their properties and frames."""

import io
import os
import signal
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sodcli.errors import MissingError, SourceError
from sodcli.io.films import ffmpeg as tool
from sodcli.io.films.probe import probe
from sodcli.io.films.read import FilmReader, _Stamps, loop_film
from sodcli.io.films.write import FilmWriter
from sodcli.io.pipe import Pipe
from sodcli.io.search import kind_of
from tests.colour_kit import hdr_film, srgb_profile
from tests.conftest import rare
from tests.draw_kit import draw_photo
from tests.film_kit import ffmpeg, late_film, make, paused_picture, pixels, render, stamps


@pytest.mark.parametrize(
    "suffix", [".mp4", ".gif", *rare(".mov", ".avi", ".mkv", ".webm", ".apng")]
)
def test_every_container_gives_all_its_frames(tmp_path, suffix):
    reader = FilmReader(render(tmp_path / f"film{suffix}", sound=suffix not in (".gif", ".apng")))
    frames = list(reader)
    assert len(frames) == pytest.approx(25, abs=1)  # the first frame of AVI is shown one frame late
    assert reader.damage is None
    assert [f.index for f in frames] == list(range(len(frames)))
    assert {f.rgb.shape for f in frames} == {(48, 64, 3)}
    assert frames[0].name == "film"
    assert frames[0].rgb.std() > 50  # a test pattern, not black


@pytest.mark.parametrize(
    "rate", ["30000/1001", *rare("24000/1001", "25", "15", "60000/1001", "7/2")]
)
@pytest.mark.parametrize("suffix", [".mp4", *rare(".mkv")])
def test_the_rate_is_exact(tmp_path, rate, suffix):
    film = probe(render(tmp_path / f"film{suffix}", rate=rate, seconds=3))
    assert film.rate == Fraction(rate)
    assert not film.variable
    assert film.duration_s == pytest.approx(3, abs=0.4)


@pytest.mark.parametrize(
    ("turn", "size_wh"), [(90, (48, 64)), *rare((0, (64, 48)), (180, (64, 48)), (270, (48, 64)))]
)
def test_a_rotated_film_is_read_upright(tmp_path, turn, size_wh):
    flat = render(tmp_path / "flat.mp4")
    film = tmp_path / "film.mp4"
    ffmpeg("-display_rotation", turn, "-i", flat, "-c", "copy", film)
    reader = FilmReader(film)
    assert reader.info.size_wh == size_wh
    upright = np.rot90(pixels(flat)[0], turn // 90)  # -display_rotation is counter-clockwise
    assert np.abs(next(iter(reader)).rgb.astype(int) - upright).mean() < 1


def test_non_square_pixels_are_scaled_to_square(tmp_path):
    film = render(tmp_path / "film.mp4", "-vf", "setsar=4/3")
    assert FilmReader(film).info.size_wh == (85, 48)
    assert next(iter(FilmReader(film))).rgb.shape == (48, 85, 3)


def test_a_film_whose_size_changes_keeps_the_first_size(tmp_path):
    parts = [render(tmp_path / f"{n}.ts", size=size) for n, size in enumerate(("64x48", "32x32"))]
    (tmp_path / "film.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert {f.rgb.shape for f in FilmReader(tmp_path / "film.ts")} == {(48, 64, 3)}


def variable_film(path, *words):
    """Two frames of three in the first second, one of three in the second."""
    chosen = "select='if(lt(t,1),mod(n,3),not(mod(n,3)))'"
    return render(path, "-vf", chosen, "-fps_mode", "passthrough", *words, rate="30", seconds=2)


@pytest.mark.slow
def test_frames_of_variable_rate_carry_their_times(tmp_path):
    film = variable_film(tmp_path / "film.mp4", "-enc_time_base", "1/90000")
    reader = FilmReader(film)
    frames = list(reader)
    assert reader.timed
    assert len(frames) == 30
    assert [f.seconds for f in frames] == pytest.approx(
        [t - stamps(film)[0] for t in stamps(film)], abs=1e-3
    )
    steady = list(FilmReader(film, rate=Fraction(30)))
    assert all(f.seconds is None for f in steady)
    assert len(steady) == pytest.approx(60, abs=3)


@pytest.mark.parametrize(
    ("name", "last_s"),
    [("a.gif", 3.0), *rare(("a.mp4", 3.0), ("a.gif", 0.05), ("a.png", 3.0), ("a.webp", 3.0))],
)
def test_the_end_of_the_last_frame_is_known(tmp_path, name, last_s):
    film = paused_picture(tmp_path / ("in.gif" if name == "a.mp4" else name), last_s)
    if name == "a.mp4":  # with longer sound
        sound = ["-f", "lavfi", "-t", 6, "-i", "sine=440"]
        ffmpeg("-i", film, *sound, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p",
               tmp_path / name)  # fmt: skip
    reader = FilmReader(tmp_path / name)
    assert reader.timed
    assert len(list(reader)) == 10
    assert reader.end_s == pytest.approx(0.9 + last_s, abs=1e-6)


def test_the_last_frame_is_not_held_longer_than_the_film_lasts(tmp_path):
    """H.264 with B-frames in MP4: ffmpeg reports the duration of another frame for the last."""
    chosen = "select='lt(n,16)+gt(n,27)'"
    film = render(tmp_path / "film.mp4", "-vf", chosen, "-fps_mode", "passthrough", rate="10",
                  seconds=3.2)  # fmt: skip
    reader = FilmReader(film)
    last = [frame.seconds for frame in reader][-1]
    assert 0.09 < reader.end_s - last < 0.2  # not 1.3


def test_a_late_picture_is_reported_as_late(tmp_path):
    reader = FilmReader(late_film(tmp_path / "film.mp4"))
    assert next(iter(reader)).seconds == pytest.approx(1.0)
    reader = FilmReader(tmp_path / "film.mp4", start_s=2.7)
    assert next(iter(reader)).seconds == pytest.approx(3.5 - 2.7, abs=1e-4)


def test_start_and_frames_select_a_piece(tmp_path):
    film = render(tmp_path / "film.mp4", seconds=2)
    whole = [f.rgb for f in FilmReader(film)]
    reader = FilmReader(film, start_s=1.0, frames=5)
    piece = [f.rgb for f in reader]
    assert reader.expected == 5
    assert len(piece) == 5
    assert all(np.array_equal(a, b) for a, b in zip(piece, whole[25:30], strict=True))
    with pytest.raises(SourceError, match=r"film.mp4: no frame after --start 9$"):
        list(FilmReader(film, start_s=9))


def test_the_alpha_of_a_film_reaches_the_frame(tmp_path):
    hole = "geq=r=200:g=100:b=50:a='if(lt(X,32),0,255)'"
    film = render(tmp_path / "a.mov", "-vf", f"format=rgba,{hole}", "-pix_fmt", "argb",
                  "-c:v", "qtrle", seconds=0.2)  # fmt: skip
    frame = next(iter(FilmReader(film)))
    assert frame.alpha is not None
    assert np.array_equal(frame.alpha, np.where(np.arange(64) < 32, 0, 255) * np.ones((48, 1)))
    opaque = render(tmp_path / "b.mov", "-pix_fmt", "argb", "-c:v", "qtrle", seconds=0.2)
    assert next(iter(FilmReader(opaque))).alpha is None


@pytest.mark.parametrize("suffix", [".webm", *rare(".mkv")])
def test_the_separate_alpha_stream_of_vp9_is_read(tmp_path, suffix):
    hole = "format=rgba,geq=r=200:g=100:b=50:a='if(lt(X,32),0,255)'"
    film = render(tmp_path / f"a{suffix}", "-vf", hole, "-pix_fmt", "yuva420p",
                  "-c:v", "libvpx-vp9", seconds=0.2)  # fmt: skip
    alpha = next(iter(FilmReader(film))).alpha
    assert alpha[:, :30].max() < 8
    assert alpha[:, 34:].min() > 247


@pytest.fixture
def started(monkeypatch):
    """Return a list to which every started process is added."""
    processes, start = [], tool.subprocess.Popen
    monkeypatch.setattr(
        tool.subprocess, "Popen", lambda *a, **k: processes.append(start(*a, **k)) or processes[-1]
    )
    return processes


def test_reading_may_end_early_without_leaving_a_process(tmp_path, started):
    reader = FilmReader(render(tmp_path / "film.mkv", seconds=20))
    frames = iter(reader)
    next(frames)
    frames.close()
    assert len(started) >= 2
    assert all(process.returncode is not None for process in started)
    assert reader.damage is None


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
@pytest.mark.parametrize("suffix", [".mkv", *rare(".gif")])
def test_a_killed_ffmpeg_is_an_error_and_not_the_end_of_the_film(tmp_path, started, suffix):
    film = render(tmp_path / f"film{suffix}", seconds=8)
    frames = iter(FilmReader(film))
    next(frames)
    os.kill(started[-1].pid, signal.SIGKILL)
    message = rf"film{suffix}: ffmpeg was ended by SIGKILL after \d+ frames?$"
    with pytest.raises(SourceError, match=message):
        list(frames)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM on Windows")
def test_a_failure_that_ffmpeg_does_not_explain_is_reported(tmp_path, started):
    reader = FilmReader(render(tmp_path / "film.mkv", seconds=60))
    frames = iter(reader)
    next(frames)
    os.kill(started[-1].pid, signal.SIGTERM)  # ffmpeg then exits normally, with status 255
    time.sleep(1)  # its pipe is full, and it checks for signals twice a second
    count = 1 + len(list(frames))
    assert count < 1400
    assert reader.damage == (
        f"{tmp_path / 'film.mkv'}: the file is damaged and ends after {count} of about 1500 frames"
        " (ffmpeg ended with status 255)"
    )


def test_a_film_can_be_looped(tmp_path):
    film = render(tmp_path / "film.mp4", seconds=0.2)
    frames = list(islice(loop_film(film, Fraction(25), max_pixels=64 * 48), 12))
    assert np.array_equal(frames[0].rgb, frames[5].rgb)
    assert np.array_equal(frames[1].rgb, frames[11].rgb)


@pytest.mark.parametrize("suffix", [".mp4", *rare(".mkv", ".avi")])
def test_a_truncated_film_gives_its_readable_frames(tmp_path, suffix):
    extra = ["-movflags", "+faststart"] if suffix == ".mp4" else []
    film = render(tmp_path / f"film{suffix}", *extra, seconds=4)
    data = film.read_bytes()
    film.write_bytes(data[: len(data) * 6 // 10])
    reader = FilmReader(film)
    count = len(list(reader))
    assert 20 < count < 99
    assert "the file is damaged" in reader.damage
    assert reader.damage.count("\n") == 0


@pytest.mark.slow
def test_damage_in_the_middle_loses_the_frames_around_it(tmp_path):
    film = render(tmp_path / "film.mp4", "-g", "25", seconds=4)
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    film.write_bytes(data)
    reader = FilmReader(film)
    assert len(list(reader)) == pytest.approx(100, abs=1)
    assert f"{film}: the file is damaged and has bad places" in reader.damage


def test_files_that_are_not_films_are_reported_in_one_line(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    ffmpeg("-f", "lavfi", "-i", "sine", "-t", 1, tmp_path / "song.mp4")
    big = render(tmp_path / "big.mp4", seconds=0.1)
    film = render(tmp_path / "cut.mp4")
    film.write_bytes(film.read_bytes()[:2000])
    for name, message in [
        ("empty.mp4", "empty file"),
        ("missing.mp4", "no such file"),
        ("noise.mp4", "not a film, or damaged (moov atom not found)"),
        ("song.mp4", "no picture in this film"),
        ("cut.mp4", "not a film, or damaged (moov atom not found)"),
    ]:
        with pytest.raises(SourceError) as caught:
            FilmReader(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {message}"
    with pytest.raises(SourceError, match=r"64x48 is more than 3071 pixels; .* --max-pixels$"):
        FilmReader(big, max_pixels=3071)


GREEN = (0x78, 0xFF, 0x9B)
UNTAGGED = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"


@pytest.mark.parametrize(
    ("size", "made", "tags"),
    [
        ("720x578", "bt709", UNTAGGED),
        ("64x48", "bt709", UNTAGGED.replace("space=unknown", "space=bt709")),
        *rare(
            ("720x576", "bt601", UNTAGGED),
            ("1280x544", "bt709", UNTAGGED),
            ("1278x576", "bt601", UNTAGGED),
            ("1280x720", "bt709", UNTAGGED.replace("primaries=unknown", "primaries=bt709")),
            ("64x48", "bt601", UNTAGGED.replace("trc=unknown", "trc=bt709")),
            ("1280x720", "bt601", UNTAGGED.replace("space=unknown", "space=smpte170m")),
            (
                "1280x720",
                "bt601",
                UNTAGGED.replace("space=unknown", "space=smpte170m:range=unknown"),
            ),
        ),
    ],
)
def test_the_colour_matrix_is_the_tagged_one_or_the_default_of_players(tmp_path, size, made, tags):
    filters = f"scale=out_color_matrix={made},format=yuv444p,{tags}"
    source = f"color=0x{bytes(GREEN).hex()}:s={size}:r=10,format=gbrp"
    codec = ["-c:v", "libx264", "-qp", "0"]
    ffmpeg("-f", "lavfi", "-i", source, "-t", 0.1, "-vf", filters, *codec, tmp_path / "film.mkv")
    colour = next(iter(FilmReader(tmp_path / "film.mkv"))).rgb.mean((0, 1))
    assert np.abs(colour - GREEN).max() < 3


def looks(rgb):
    """Return mean, contrast and saturation of a picture."""
    rgb = rgb.astype(float)
    return np.array([rgb.mean(), rgb.mean(-1).std(), (rgb.max(-1) - rgb.min(-1)).mean()])


@pytest.mark.parametrize("matrix", ["ycgco", *rare("bt2020c")])
def test_a_matrix_that_ffmpegs_scaler_does_not_know_is_converted(tmp_path, matrix):
    colour = "bt2020-10" if matrix == "bt2020c" else "bt709"
    tags = f"setparams=color_primaries=bt709:color_trc={colour}:colorspace=gbr:range=pc"
    film = make(
        tmp_path / "film.mkv", "-f", "lavfi", "-i", "color=0x3060C0:s=64x48:r=10", "-frames:v", 2,
        "-vf", f"format=gbrp,{tags},zscale=m={matrix}:r=limited,format=yuv444p", "-c:v", "ffv1",
    )  # fmt: skip
    for frame in FilmReader(film):
        assert np.abs(frame.rgb.astype(int) - (0x30, 0x60, 0xC0)).max() <= 4


@pytest.mark.parametrize("kind", ["PQ", *rare("HLG")])
def test_hdr_is_tone_mapped_to_what_sdr_shows(tmp_path, kind):
    photo = np.array(Image.open("tests/data/photo.jpg").convert("RGB").resize((320, 180)))
    reader = FilmReader(hdr_film(tmp_path / "film.mp4", photo, kind))
    (frame,) = reader
    assert reader.info.colour.hdr == kind
    assert looks(frame.rgb) == pytest.approx(looks(photo), rel=0.08)
    assert np.abs(frame.rgb.astype(float) - photo).mean() < 3


def test_highlights_of_hdr_keep_their_shading(tmp_path):
    nits = np.tile(np.linspace(203, 950, 256)[None, :, None], (64, 1, 3))
    (frame,) = FilmReader(hdr_film(tmp_path / "film.mp4", nits=nits, kind="PQ"))
    row = frame.rgb[32, 8:-8, 1]
    assert 235 <= row[0] <= 250
    assert (np.sort(row) == row).all()
    assert len(set(row)) >= 8


def test_wide_primaries_are_converted(tmp_path):
    patch = np.full((64, 64, 3), (200, 120, 60), np.uint8)
    (frame,) = FilmReader(hdr_film(tmp_path / "film.mp4", patch, "SDR"))
    assert np.abs(frame.rgb.mean((0, 1)) - (200, 120, 60)).max() < 3


def combs(grey):
    """Return how much more neighbouring rows differ than rows of one field."""
    grey = grey.astype(float)
    return np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["film.mpg", "film.mp4", "film.dv"])
def test_interlaced_films_are_deinterlaced(tmp_path, name):
    film, size = tmp_path / name, "720x576"
    codec = {
        ".mpg": ["-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-b:v", "8M"],
        ".mp4": ["-c:v", "libx264", "-flags", "+ildct+ilme", "-x264opts", "tff=1"],
        ".dv": ["-c:v", "dvvideo"],
    }[film.suffix]
    order = "bff" if film.suffix == ".dv" else "tff"
    fields = f"tinterlace=interleave_{'bottom' if order == 'bff' else 'top'},fieldorder={order}"
    source = f"color=black:s={size}:r=50,drawbox=x=0:y=0:w=90:h=ih:c=white:t=fill,"
    moving = source + "scroll=h=-0.02,rotate=0.3,format=yuv420p"
    ffmpeg(
        "-f", "lavfi", "-i", moving, "-t", 0.8, "-vf", fields, "-pix_fmt", "yuv420p", *codec, film
    )
    reference = ffmpeg(
        "-i", film, "-vf", "bwdif=mode=send_frame,format=gray", "-f", "rawvideo", "-"
    )
    wanted = np.frombuffer(reference, np.uint8).reshape(-1, 576, 720)
    combed = pixels(film, 1)[10, ..., 0]
    frames = [frame.rgb[..., 1] for frame in FilmReader(film)]
    assert len(frames) == len(wanted) == 20
    assert combs(combed) > 4 * combs(wanted[10])
    assert combs(frames[10]) < 1.6 * combs(wanted[10])


@pytest.mark.slow
def test_hevc_with_alpha_keeps_it(tmp_path):
    ramp = "format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='255*X/W'"
    codec = ["-c:v", "libx265", "-x265-params", "alpha=1:log-level=none", "-tag:v", "hvc1"]
    film = render(
        tmp_path / "film.mov",
        "-vf",
        ramp,
        *codec,
        "-pix_fmt",
        "yuva420p",
        size="256x64",
        seconds=0.2,
    )
    frame = next(iter(FilmReader(film)))
    assert frame.alpha is not None
    assert np.abs(frame.alpha.astype(int) - np.arange(256)).mean() < 4


@pytest.mark.slow
def test_alpha_of_prores_is_exact(tmp_path):
    slope = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    rgba = np.dstack([np.full((64, 256, 3), 120, np.uint8), slope])
    with FilmWriter(tmp_path / "a.mov", size_wh=(256, 64), rate=Fraction(10), alpha=True) as film:
        film.write(rgba)
        film.write(rgba)
    for frame in FilmReader(tmp_path / "a.mov"):
        assert (frame.alpha == slope).all()


@pytest.mark.parametrize("name", ["a.webp", "a.avif", "a.png"])
def test_animated_pictures_are_films(tmp_path, name):
    shades = np.arange(8) * 30
    rgba = [np.full((48, 64, 4), (s, s, s, 255 if s % 60 else 128), np.uint8) for s in shades]
    first, *rest = [Image.fromarray(pixels) for pixels in rgba]
    options = {"icc_profile": srgb_profile()}  # in a PNG it precedes the mark of an animation
    options |= {} if name == "a.png" else {"quality": 100}
    first.save(tmp_path / name, save_all=True, append_images=rest, duration=100, **options)
    first.save(tmp_path / f"still{Path(name).suffix}")
    assert Pipe(io.BytesIO((tmp_path / name).read_bytes())).kind() == "film"
    assert kind_of(tmp_path / name) == "film"
    assert kind_of(tmp_path / f"still{Path(name).suffix}") == "picture"
    frames = list(FilmReader(tmp_path / name))
    assert [round(frame.rgb.mean()) for frame in frames] == pytest.approx(list(shades), abs=3)
    assert frames[0].alpha.mean() == pytest.approx(128, abs=2)
    assert frames[1].alpha is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.webp", "a.avif", "a.png"])
def test_animated_pictures_with_alpha_keep_their_times(tmp_path, name):
    rgba = [np.full((48, 64, 4), (40 * n, 0, 0, 128 + n), np.uint8) for n in range(6)]
    first, *rest = [Image.fromarray(pixels) for pixels in rgba]
    lasts = [40, 40, 200, 40, 300, 40]
    first.save(tmp_path / name, save_all=True, append_images=rest, duration=lasts)
    for start_s, times in ((0.0, [0, 0.04, 0.08, 0.28, 0.32, 0.62]), (0.3, [0.02, 0.32])):
        reader = FilmReader(tmp_path / name, start_s=start_s)
        frames = list(reader)
        assert [frame.seconds for frame in frames] == pytest.approx(times, abs=1e-6)
        assert reader.end_s == pytest.approx(0.66 - start_s, abs=1e-6)
        assert [frame.alpha.mean() for frame in frames][-1] == pytest.approx(133, abs=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.h264", "a.m2v"])
def test_a_stream_without_a_container_is_cut(tmp_path, name):
    film = render(tmp_path / name, *(["-f", "mpeg2video"] if name == "a.m2v" else []))
    whole = [frame.rgb for frame in FilmReader(film)]
    piece = [frame.rgb for frame in FilmReader(film, start_s=0.4, lasts_s=0.2)]
    assert np.array_equal(piece, whole[10:15])


@pytest.mark.slow
def test_a_duration_selects_a_piece(tmp_path):
    film = render(tmp_path / "film.mp4", rate="10", seconds=3)
    reader = FilmReader(film, start_s=0.5, lasts_s=1.2)
    assert len(list(reader)) == reader.expected == 12
    assert len(list(FilmReader(film, start_s=2.5, lasts_s=9))) == 5


def test_without_time_stamps_the_rate_is_used():
    stamps = _Stamps()
    assert stamps.take("[Parsed_showinfo_0 @ 0x1] [info] config in time_base: 1/4, frame_rate: 4/1")
    assert stamps.take("[Parsed_showinfo_0 @ 0x1] [info] n:   0 pts:      6 pts_time:1.5  ")
    assert stamps.take(
        "[Parsed_showinfo_0 @ 0x1] [info] n:   1 pts:      7 pts_time:1.75    duration:      2 dur"
    )
    assert stamps.take("[Parsed_showinfo_0 @ 0x1] [info] n:   2 pts: NOPTS pts_time:NOPTS ")
    assert not stamps.take("[h264 @ 0x1] [error] bad")
    assert (stamps.next(9.0), stamps.last, stamps.lasts) == (1.5, 1.5, None)
    assert (stamps.next(9.0), stamps.last, stamps.lasts) == (1.75, 1.75, 0.5)
    assert (stamps.next(9.0), stamps.last, stamps.lasts) == (9.0, None, None)


def test_a_playlist_named_as_a_film_opens_no_other_file(tmp_path):
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n"
    (tmp_path / "film.mp4").write_text(playlist)
    with pytest.raises(SourceError, match=r"film.mp4: not a film"):
        FilmReader(tmp_path / "film.mp4")


@pytest.mark.slow
def test_the_name_of_a_film_may_be_anything(tmp_path):
    film = render(tmp_path / "plain.mp4", seconds=0.2)
    for name in ("-y.mp4", "concat:a|b.mp4", "50%d.mp4", "naïve 'film'.mp4"):
        assert len(list(FilmReader(film.replace(tmp_path / name)))) == 5
        film = tmp_path / name


def test_films_and_pictures_are_distinguished_by_content(tmp_path):
    photo = draw_photo(size_hw=(8, 8))[0]
    Image.fromarray(photo).save(tmp_path / "still.gif")
    Image.fromarray(photo).save(tmp_path / "photo.png")
    render(tmp_path / "moving.gif", seconds=0.2)
    render(tmp_path / "moving.png", "-f", "apng", seconds=0.2)
    render(tmp_path / "film.mkv", seconds=0.2).rename(tmp_path / "film.jpg")
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    (tmp_path / "unknown.mp4").write_bytes(b"?" * 99)
    films = {"moving.gif", "moving.png", "film.jpg", "unknown.mp4", "missing.webm"}
    names = {path.name for path in tmp_path.iterdir()} | {"missing.webm", "missing.jpg"}
    assert {name for name in names if kind_of(tmp_path / name) == "film"} == films


def test_a_missing_ffmpeg_is_an_error(monkeypatch, tmp_path):
    executable = tool.executable
    executable.cache_clear()
    try:
        monkeypatch.setattr(tool.imageio_ffmpeg, "get_ffmpeg_exe", lambda: "ffmpeg")
        monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
        with pytest.raises(MissingError, match="imageio-ffmpeg brings no ffmpeg for this machine"):
            executable()
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "ffmpeg")
        assert executable() == "ffmpeg"
        monkeypatch.setattr(tool, "executable", lambda: str(tmp_path / "none"))
        with pytest.raises(MissingError, match=r"^cannot start .*none: No such file or directory$"):
            tool.Ffmpeg(["-version"])
    finally:
        executable.cache_clear()
