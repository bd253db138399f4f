"""A sequence of numbered pictures is a film."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from sodcli.errors import UsageError
from sodcli.io.films.formats import frame_rate
from sodcli.io.films.probe import probe
from sodcli.io.search import numbered_files
from tests.film_kit import pixels, render


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(10):
        shade = np.full((48, 64, 3), 20 * number + 20, np.uint8)
        Image.fromarray(shade).save(folder / f"{number + 5}.png")  # 9 comes before 10
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("source", ["frames", "frames/%d.png", "frames/*.png"])
def test_a_sequence_of_ten_gives_ten_frames(sod, frames, small_weights, source):
    out, sound = frames.parent / "out.mov", frames.parent / "clip.mp4"
    render(sound, seconds=2, sound=True)
    words = ["-t", "overlay", "-w", small_weights, "-o", out, "--rate", "29.97", "--sound", sound]
    result = sod("infer", frames.parent / source, *words)
    assert result.exit_code == 0, result.stderr
    film = pixels(out)
    info = probe(out)
    assert (len(film), info.rate, info.sound) == (10, Fraction(30000, 1001), ("aac",))
    assert info.duration_s == pytest.approx(10 * 1001 / 30000, abs=0.03)
    assert (np.diff(film.mean((1, 2, 3))) > 0).all()


@pytest.mark.slow
def test_a_piece_of_a_sequence_and_a_picture_of_another_size(sod, frames, small_weights):
    out = frames.parent / "out.mp4"
    words = ["-t", "map", "-w", small_weights, "-o", out, "--rate", "10"]
    assert sod("infer", frames, *words, "--start", "0.2", "--duration", "0.3").exit_code == 0
    assert len(pixels(out, 1)) == 3
    Image.new("RGB", (32, 48)).save(frames / "99.png")
    result = sod("infer", frames, *words, "--overwrite")
    assert "99.png: 32x48, the first is 64x48" in result.stderr
    assert result.exit_code != 0


def test_wrong_values_are_errors_of_one_line(sod, frames):
    for words, message, code in [
        (["--rate", "fast"], "--rate fast: no frame rate", 2),
        (["--sound", frames / "5.png"], "5.png: no sound in this file", 1),
        (["--sound", frames / "none.wav"], "none.wav: no such file", 2),
    ]:
        result = sod("infer", frames, "-o", "out.mov", *words)
        assert message in result.stderr
        assert result.exit_code == code


def test_rates_are_exact_fractions():
    assert frame_rate("29.97") == frame_rate("30000/1001") == Fraction(30000, 1001)
    assert frame_rate("23.976") == Fraction(24000, 1001)
    assert (frame_rate("25"), frame_rate("12.5")) == (25, Fraction(25, 2))
    with pytest.raises(UsageError):
        frame_rate("0")


def test_patterns_select_files_by_number(frames):
    found = numbered_files(str(frames / "%04d.png"))
    assert [path.stem for path in found] == [str(number) for number in range(5, 15)]
