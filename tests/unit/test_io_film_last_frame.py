"""The last frame of an animated picture gets the requested duration."""

import numpy as np
import pytest
from PIL import Image

from sodcli.io.films.last_frame import extend_last_frame
from tests.film_kit import paused_picture, picture_lengths


@pytest.mark.parametrize("name", ["a.webp", "a.png"])
@pytest.mark.parametrize("last_s", [0.02, 0.25, 65.535, 70.0, 600.0, 10_000.0])
def test_only_the_last_length_changes(tmp_path, name, last_s):
    path = paused_picture(tmp_path / name)
    with Image.open(path) as image:
        image.seek(9)
        before = np.asarray(image.convert("RGB"))
    extend_last_frame(path, 0.9 + last_s)
    assert picture_lengths(path) == pytest.approx([0.1] * 9 + [last_s], abs=1e-6)
    with Image.open(path) as image:  # Pillow checks the checksums
        image.seek(9)
        assert np.array_equal(np.asarray(image.convert("RGB")), before)


@pytest.mark.parametrize(("name", "longest"), [("a.webp", (2**24 - 1) / 1000), ("a.png", 65535)])
@pytest.mark.parametrize("total_s", [0.0, 1e9])
def test_lengths_that_do_not_fit_are_clamped(tmp_path, name, longest, total_s):
    path = paused_picture(tmp_path / name)
    extend_last_frame(path, total_s)
    assert picture_lengths(path)[-1] == pytest.approx(longest if total_s else 0.001)


def test_a_still_png_stays_as_it_is(tmp_path):
    Image.new("RGB", (9, 7), "red").save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    extend_last_frame(tmp_path / "a.png", 5.0)
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("colour", [(200, 30, 60), (200, 30, 60, 90)])
def test_a_still_webp_becomes_one_frame_of_that_length(tmp_path, lossless, colour):
    path = tmp_path / "a.webp"
    Image.new("RGBA" if len(colour) == 4 else "RGB", (9, 7), colour).save(path, lossless=lossless)
    with Image.open(path) as image:
        before = np.asarray(image.convert("RGBA"))
    extend_last_frame(path, 5.0)
    assert picture_lengths(path) == [5.0]
    with Image.open(path) as image:
        assert (image.n_frames, image.is_animated) == (1, False)
        assert np.array_equal(np.asarray(image.convert("RGBA")), before)
