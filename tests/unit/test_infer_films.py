"""The loop over films, with a network whose output is known."""

import gc
import resource
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sodcli.errors import DeviceError, SinkError, SourceError
from sodcli.imaging.compose import GREEN_RGB, Look
from sodcli.infer import films as loop
from sodcli.infer.films import FilmOutcome, Watcher, infer_films
from sodcli.infer.photos import sift
from sodcli.io.films.probe import probe
from sodcli.io.films.read import FilmReader
from sodcli.io.settings import InferSettings, Style
from sodcli.io.sinks import plan_outputs
from sodcli.io.sources import find_inputs
from sodcli.runtime.predictor import load
from tests.colour_kit import hdr_film
from tests.conftest import rare
from tests.film_kit import (
    echo_predictor,
    ffmpeg,
    flash_film,
    late_film,
    onsets,
    paused_picture,
    pixels,
    render,
    stamps,
)
from tests.torture import LONG

MAP = Style("map", "map")


def halves(path, *words, seconds=1.0, sound=False, size="64x48"):
    """Write a film whose left half is blue and whose right half is red, salient to ``Echo``."""
    args = ["-f", "lavfi", "-i", f"color=blue:s={size}:r=25,drawbox=x=iw/2:color=red:t=fill"]
    args += ["-f", "lavfi", "-i", "sine=440"] if sound else []
    ffmpeg(*args, "-t", seconds, "-pix_fmt", "yuv444p", *words, path)
    return path


def run(
    registry, film, kind="map", out=None, look=None, before=lambda batch: None, workers=1, **films
):
    """Process one film; return its outcome and all events."""
    style = Style(kind, kind, look or Look(refine=False), films.pop("behind", None))
    settings = InferSettings(
        styles=(style,), out=out and str(out), max_pixels=10**6, overwrite=True, **films
    )
    jobs = plan_outputs(find_inputs([str(film)], recursive=False), settings)
    heard = []
    watcher = Watcher(lambda outcome: heard.append(outcome), heard.append, heard.append)
    predictor = echo_predictor(registry, before=before)
    predictor.backend.workers = workers
    (outcome,) = infer_films(jobs, predictor, settings, watcher)
    return outcome, heard


def turned(path):
    ffmpeg("-display_rotation", 90, "-i", render(path.with_name("flat.mp4")), "-c", "copy", path)
    return path


FILMS = {
    "a.mp4": lambda path: render(path, sound=True),
    "a.gif": render,
    "turned.mp4": turned,
    "oblong.mp4": lambda path: render(path, "-vf", "setsar=3/2"),
    "fields.mpg": lambda path: render(
        path, "-c:v", "mpeg2video", "-flags", "+ildct+ilme", size="96x64"
    ),
    "hdr.mov": lambda path: hdr_film(path, np.full((48, 64, 3), 120), kind="HLG"),
    "alpha.mov": lambda path: render(path, "-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"),
    "alpha.webm": lambda path: render(path, "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p"),
    "flashes.mkv": flash_film,
    "late.mp4": late_film,
    "paused.gif": paused_picture,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILMS)
def test_every_kind_of_film_goes_through_green_rgba_and_blur(registry, tmp_path, name):
    film = FILMS[name](tmp_path / name)
    info, count = probe(film), sum(1 for _ in FilmReader(film))
    for kind in ("green", "rgba", "blur"):
        outcome, _ = run(registry, film, kind, steady=True)
        assert (outcome.error, outcome.frames, outcome.warning) == (None, count, None)
        made = probe(outcome.job.target)
        assert (made.size_wh, made.alpha) == (info.size_wh, kind == "rgba")
        assert len(made.sound) == len(info.sound)


@pytest.mark.slow
def test_every_type_gives_a_film_of_the_right_look(registry, tmp_path):
    film = halves(tmp_path / "film.mp4", sound=True)
    looks = {
        "map": ((0, 0, 0), (255, 255, 255)),
        "green": (GREEN_RGB, (255, 0, 0)),
        "blur": ((0, 0, 255), (255, 0, 0)),
        "overlay": ((0, 0, 255), (188, 128, 78)),
    }
    for kind, (left, right) in looks.items():
        outcome, _ = run(registry, film, kind)
        assert outcome.job.target == tmp_path / f"film_{kind}.mp4"
        out = pixels(outcome.job.target)
        assert out.shape == (25, 48, 64, 3)
        assert np.abs(out[12, 10:38, 4:12].mean((0, 1)) - left).max() < 8
        assert np.abs(out[12, 10:38, 52:60].mean((0, 1)) - right).max() < 8
        assert probe(outcome.job.target).sound == ("aac",)
        assert isinstance(outcome, FilmOutcome)
        assert (outcome.frames, outcome.warning) == (25, None)


@pytest.mark.parametrize("out", ["frames/", *rare(None, "a.webm", "a.mkv", "a.apng", "frames")])
def test_a_cut_out_film_is_transparent_where_nothing_is_salient(registry, tmp_path, out):
    film = halves(tmp_path / "film.mp4", seconds=0.4)
    outcome, _ = run(registry, film, "rgba", out and f"{tmp_path / out}{'/' * out.endswith('/')}")
    target = outcome.job.target
    assert target == tmp_path / (out or "film_rgba.mov")
    if target.is_dir():
        frames = np.stack([np.asarray(Image.open(path)) for path in sorted(target.iterdir())])
    else:
        frames = pixels(target, 4, *(["-c:v", "libvpx-vp9"] if out == "a.webm" else []))
    assert frames.shape == (10, 48, 64, 4)
    assert frames[:, :, :28, 3].max() <= 3
    assert frames[:, :, 36:, 3].min() >= 252
    assert np.abs(frames[5, 10:38, 52:60, :3].mean((0, 1)) - (255, 0, 0)).max() < 8


def doubled(path, *words):
    """Write a film of 24 frames/s that shows each of 12 frames twice, without loss."""
    lossless = words or ("-c:v", "libx264", "-qp", 0, "-pix_fmt", "yuv420p")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x96:r=12", "-t", 1, "-r", 24, *lossless, path)
    return path


def still(path):
    """Write 40 frames of one picture, with sound."""
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x48:r=20,drawbox=w=20:color=blue:t=fill",
           "-f", "lavfi", "-i", "sine", "-t", 2, "-pix_fmt", "yuv420p", path)  # fmt: skip
    return path


REPEATS = {  # film, frames, frames that the network has to see
    "doubled.mp4": (doubled, 24, 12),
    "still.mp4": (still, 40, 3),
    "alpha.mkv": (lambda path: doubled(path, "-c:v", "ffv1", "-pix_fmt", "bgra"), 24, 12),
    "colours.mkv": (lambda path: doubled(path, "-c:v", "ffv1", "-pix_fmt", "yuv444p"), 24, 12),
    "changing.mp4": (render, 25, 25),
}


@pytest.mark.parametrize("name", ["doubled.mp4", *rare(*list(REPEATS)[1:])])
@pytest.mark.parametrize(("batch", "workers"), [(3, 1), *rare((1, 1), (None, 1), (None, 3))])
def test_the_network_runs_once_for_equal_frames_and_nothing_else_changes(
    registry, tmp_path, monkeypatch, name, batch, workers
):
    make, count, distinct = REPEATS[name]
    film, seen, frames = make(tmp_path / name), [], []
    ways = {"shared": loop.share_repeats, "each": iter}
    for way, shared in ways.items():
        monkeypatch.setattr(loop, "share_repeats", shared)
        outcome, _ = run(
            registry, film, "rgba", tmp_path / way, steady=True, codec="png", batch=batch,
            workers=workers, before=lambda inputs: seen.append(len(inputs)),
        )  # fmt: skip
        assert (outcome.error, outcome.frames) == (None, count)
        frames.append([path.read_bytes() for path in sorted((tmp_path / way).glob("*.png"))])
    assert sum(seen) == distinct + count
    assert len(frames[0]) == count
    assert frames[0] == frames[1]


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2, None])
def test_the_built_in_network_gives_the_same_film_with_and_without_repeats(
    tmp_path, monkeypatch, batch
):
    film, made = doubled(tmp_path / "film.mp4"), []
    predictor = load(size=64, threads=2)
    for shared in (loop.share_repeats, iter):
        monkeypatch.setattr(loop, "share_repeats", shared)
        target = tmp_path / "made.mp4"
        settings = InferSettings(styles=(Style("blur", "blur"),), batch=batch, out=str(target))
        jobs = plan_outputs(find_inputs([str(film)], recursive=False), settings)
        (outcome,) = infer_films(jobs, predictor, settings, Watcher(lambda outcome: None))
        assert outcome.error is None
        made.append(pixels(target))
    np.testing.assert_array_equal(*made)


@pytest.mark.slow
def test_a_picture_or_a_film_can_be_the_background(registry, tmp_path):
    film = halves(tmp_path / "film.mp4")
    yellow = np.full((20, 20, 3), (250, 250, 10), np.uint8)
    outcome, _ = run(registry, film, "picture", tmp_path / "a.mp4", Look(yellow, refine=False))
    assert np.abs(pixels(outcome.job.target)[20, 10, 5] - [250.0, 250, 10]).max() < 10
    back = tmp_path / "back.mp4"
    fade = "color=black:s=40x40:r=25,geq=r='8*N':g='8*N':b='8*N'"
    ffmpeg("-f", "lavfi", "-i", fade, "-frames:v", 10, "-pix_fmt", "yuv444p", back)
    outcome, _ = run(registry, film, "picture", tmp_path / "b.mp4", Look(yellow), behind=back)
    out = pixels(outcome.job.target)[:, 20, 5].mean(1)
    assert len(out) == 25
    assert out == pytest.approx([8 * (n % 10) for n in range(25)], abs=6)  # it is looped


@pytest.mark.slow
def test_transparent_pixels_of_a_background_film_are_white(registry, tmp_path):
    film, back = halves(tmp_path / "film.mp4", seconds=0.2), tmp_path / "back.mov"
    holes = "color=red:s=64x48:r=25,format=rgba,geq=r=255:g=0:b=255:a='if(lt(X,16),0,255)'"
    ffmpeg("-f", "lavfi", "-i", holes, "-t", 0.2, "-pix_fmt", "argb", "-c:v", "qtrle", back)
    look = Look(np.zeros((4, 4, 3), np.uint8), refine=False)
    outcome, _ = run(registry, film, "picture", tmp_path / "out", look, behind=back, codec="png")
    out = np.asarray(Image.open(min(outcome.job.target.iterdir()))).astype(int)
    assert np.abs(out[:, :12] - 255).max() <= 3
    assert np.abs(out[:, 20:28] - (255, 0, 255)).max() <= 3


@pytest.mark.slow
def test_sound_and_picture_stay_in_step_at_a_variable_rate(registry, tmp_path):
    source = tmp_path / "film.mp4"
    steady = flash_film(tmp_path / "steady.mp4", "-c:a", "aac", rate="50")
    chosen = "select='if(lt(t,0.8),not(mod(n,5)),if(lt(t,1.6),mod(n,2),1))'"
    ffmpeg("-i", steady, "-vf", chosen, "-fps_mode", "passthrough", "-enc_time_base", "1/90000",
           "-pix_fmt", "yuv420p", "-c:a", "copy", source)  # fmt: skip
    before = stamps(source)
    assert np.ptp(np.diff(before)) > 0.05
    for name in ("a.mp4", "a.mkv", "a.webm"):
        outcome, _ = run(registry, source, "blur", tmp_path / name)
        assert outcome.frames == len(before)
        assert stamps(outcome.job.target) == pytest.approx(before, abs=2e-3)
        seen, heard = onsets(outcome.job.target)
        assert len(seen) == len(heard) == 2
        assert seen == pytest.approx(onsets(source)[0], abs=2e-3)
        assert np.abs(seen - heard).max() <= 1 / 25


@pytest.mark.slow
def test_a_piece_can_be_written_without_sound(registry, tmp_path):
    film = halves(tmp_path / "film.mp4", sound=True, seconds=2)
    outcome, heard = run(registry, film, start_s=0.5, frames=7, audio=False)
    assert outcome.frames == 7
    assert len(pixels(outcome.job.target)) == 7
    assert probe(outcome.job.target).sound == ()
    places = heard[:-1]
    assert [place.done for place in places] == list(range(1, 8))
    assert {(place.name, place.expected) for place in places} == {(str(film), 7)}
    assert places[-1].seconds == pytest.approx(7 / 25)
    assert heard[-1] is outcome


@pytest.mark.slow
def test_a_threshold_gives_a_binary_mask(registry, tmp_path):
    film = render(tmp_path / "film.mp4", seconds=0.2)
    style = Style("rgba", "rgba", Look(refine=False))
    settings = InferSettings(styles=(style,), threshold=0.5)
    jobs = plan_outputs(find_inputs([str(film)], recursive=False), settings)
    infer_films(jobs, echo_predictor(registry), settings, Watcher(lambda o: None))
    alpha = pixels(tmp_path / "film_rgba.mov", 4)[..., 3]
    assert set(np.unique(alpha)) <= {0, 1, 254, 255}
    again, todo = sift(jobs, settings)
    assert ([outcome.status for outcome in again], todo) == (["skipped"], [])


@pytest.mark.slow
@pytest.mark.parametrize("size", ["64x64", "80x80"])  # that of the network, and another
def test_what_is_half_transparent_in_the_film_is_so_in_the_result(registry, tmp_path, size):
    white = "format=rgba,geq=r=255:g=255:b=255:a=128"
    film = render(
        tmp_path / "film.mkv", "-vf", white, "-c:v", "ffv1", "-pix_fmt", "bgra", size=size
    )
    outcome, _ = run(registry, film, "rgba")
    alpha = pixels(outcome.job.target, 4)[..., 3].astype(int)
    assert np.abs(alpha - 128).max() <= 2


@pytest.mark.slow
def test_a_damaged_film_is_processed_with_a_warning(registry, tmp_path):
    film = render(tmp_path / "film.mkv", seconds=4)
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 6 // 10])
    sound = render(tmp_path / "sound.mov", "-c:a", "pcm_s16le", seconds=1, sound=True)
    sound.write_bytes(sound.read_bytes().replace(b"sowt", b"apac"))  # an unknown codec
    outcome, _ = run(registry, film, sound=sound)
    assert outcome.status == "done"
    assert 10 < outcome.frames < 99
    assert "the file is damaged and ends after" in outcome.warning
    assert "; " in outcome.warning
    assert "film_map.mp4: written without sound track 1" in outcome.warning
    assert len(pixels(outcome.job.target)) == outcome.frames


@pytest.mark.slow
def test_one_bad_film_leaves_the_others(registry, tmp_path):
    for name in ("a.mp4", "c.mp4"):
        render(tmp_path / name, seconds=0.2)
    (tmp_path / "b.mp4").write_bytes(b"no film")
    inputs = find_inputs([str(tmp_path)], recursive=False)
    for fail_fast, expected in ((False, ["done", "failed", "done"]), (True, ["done", "failed"])):
        out = str(tmp_path / f"out{fail_fast}")
        settings = InferSettings(styles=(MAP,), out=out, fail_fast=fail_fast)
        jobs = plan_outputs(inputs, settings)
        seen = []
        watcher = Watcher(seen.append)
        outcomes = infer_films(jobs, echo_predictor(registry), settings, watcher)
        assert [outcome.status for outcome in outcomes] == expected
        assert seen == outcomes
        assert isinstance(outcomes[1].error, SourceError)


def failing(error, after):
    left = [after]

    def before(batch):
        left[0] -= 1
        if left[0] < 0:
            raise error

    return before


def test_a_failing_network_ends_the_run_without_output(registry, tmp_path):
    film = render(tmp_path / "film.mp4", seconds=2)
    with pytest.raises(DeviceError, match="out of memory"):
        run(registry, film, before=failing(DeviceError("out of memory"), 10))
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    assert {thread.name for thread in threading.enumerate() if "sod" in thread.name} == set()


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_was_done(registry, tmp_path):
    film = render(tmp_path / "film.mp4", seconds=8, sound=True)
    notes = []
    settings = InferSettings(styles=(MAP,))
    jobs = plan_outputs(find_inputs([str(film)], recursive=False), settings)
    watcher = Watcher(lambda outcome: None, note=notes.append)
    predictor = echo_predictor(registry, before=failing(KeyboardInterrupt(), 60))
    with pytest.raises(KeyboardInterrupt):
        infer_films(jobs, predictor, settings, watcher)
    partial = tmp_path / "film_map.partial.mkv"
    count = len(pixels(partial))
    assert 30 <= count <= 60
    assert notes == [f"kept {count} frames in {partial}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", partial.name]
    assert {thread.name for thread in threading.enumerate() if "sod" in thread.name} == set()


def test_a_failing_encoder_is_the_error_that_is_reported(registry, tmp_path, monkeypatch):
    def broken(self, data):
        raise SinkError("cannot write x: No space left on device")

    monkeypatch.setattr("sodcli.io.films.write.FilmWriter._send", broken)
    outcome, _ = run(registry, render(tmp_path / "film.mp4"))
    assert str(outcome.error) == "cannot write x: No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.slow
def test_a_background_that_cannot_be_read_is_the_error_that_is_reported(registry, tmp_path):
    film = render(tmp_path / "film.mp4")
    (tmp_path / "back.mp4").write_bytes(b"?")
    look = Look(np.zeros((4, 4, 3), np.uint8))
    outcome, _ = run(registry, film, "picture", tmp_path / "a.mp4", look,
                     behind=tmp_path / "back.mp4")  # fmt: skip
    assert isinstance(outcome.error, SourceError)
    assert str(outcome.error).startswith(f"{tmp_path / 'back.mp4'}: not a film")
    large = render(tmp_path / "large.mp4", size="1200x900", seconds=0.1)
    outcome, _ = run(registry, film, "picture", tmp_path / "a.mp4", look, behind=large)
    assert str(outcome.error).startswith(f"{large}: 1200x900 is more than 1000000 pixels")


@pytest.mark.slow
def test_a_long_film_takes_no_more_memory_than_its_first_quarter(registry, tmp_path):
    """The largest values are compared: how many frames wait in queues depends on the load."""
    frames = 2000 if LONG else 1000
    seconds = frames / 25
    film = halves(tmp_path / "film.mp4", "-preset", "ultrafast", size="320x180", seconds=seconds)
    sizes = {}

    def measure(position):
        if done := getattr(position, "done", 0):
            if done % 250 == 0:
                gc.collect()
            quarter = (done - 1) * 4 // frames
            sizes[quarter] = max(sizes.get(quarter, 0), _resident_bytes())

    settings = InferSettings(styles=(MAP,), batch=8)
    jobs = plan_outputs(find_inputs([str(film)], recursive=False), settings)
    watcher = Watcher(lambda outcome: None, measure)
    (outcome,) = infer_films(jobs, echo_predictor(registry), settings, watcher)
    assert outcome.frames == frames
    assert len(stamps(outcome.job.target)) == frames
    assert sizes[3] - sizes[0] < 8.8e6  # one map of each frame would be 29 MB


def _resident_bytes():
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(statm.read_text().split()[1]) * resource.getpagesize()
