import cv2
import numpy as np
import pytest

from sodcli.imaging import planes
from sodcli.imaging.blend import blur
from sodcli.io.films.probe import probe
from sodcli.io.films.read import FilmReader
from tests.conftest import rare
from tests.film_kit import render

# Rec. ITU-R BT.709, 8 bits: luma 16 to 235, chroma 16 to 240
PRIMARIES = {
    (16, 128, 128): (0, 0, 0),
    (235, 128, 128): (255, 255, 255),
    (63, 102, 240): (255, 0, 0),
    (173, 42, 26): (0, 255, 0),
    (32, 240, 118): (0, 0, 255),
}


def flat(size_hw, levels):
    height, width = size_hw
    whole = np.full((height * 3 // 2, width), levels[0], np.uint8)
    for plane, level in zip(planes.split(whole)[1:], levels[1:], strict=True):
        plane[:] = level
    return whole


def noise(size_hw):
    """Return planes of smooth colours that RGB can show."""
    height, width = size_hw
    whole = np.empty((height * 3 // 2, width), np.uint8)
    for seed, plane in enumerate(planes.split(whole)):
        coarse = np.random.default_rng(seed).integers(110, 146, (6, 8), np.uint8)
        plane[:] = cv2.resize(coarse, plane.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return whole


@pytest.mark.parametrize(("levels", "colour"), PRIMARIES.items())
def test_the_colours_of_the_standard_become_rgb(levels, colour):
    rgb = planes.to_rgb(flat((6, 8), levels))
    assert rgb.shape == (6, 8, 3)
    assert np.abs(rgb.astype(int) - colour).max() <= 2  # what 8 bits of chroma can say


@pytest.mark.parametrize(
    ("size_hw", "least", "shrunk_hw"),
    [((64, 96), 33, (64, 96)), ((64, 96), 32, (32, 48)), ((64, 96), 8, (8, 12)),
     ((60, 96), 2, (15, 24))],
)  # fmt: skip
def test_a_smaller_copy_keeps_the_least_side(size_hw, least, shrunk_hw):
    picture = noise(size_hw)
    small = planes.to_rgb(picture, least)
    assert small.shape[:2] == shrunk_hw
    whole = cv2.resize(planes.to_rgb(picture), shrunk_hw[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - whole).mean() < 2


def test_blurred_keeps_the_subject_and_blurs_the_rest():
    picture, alpha = noise((200, 300)), np.zeros((200, 300), np.uint8)
    alpha[:, 100:] = 255
    out = planes.blurred(picture, alpha, 6)
    for before, after in zip(planes.split(picture), planes.split(out), strict=True):
        third, share = before.shape[1] // 3, before.shape[1] / 300
        assert np.array_equal(after[:, third:], before[:, third:])
        assert np.array_equal(after[:, :third], blur(before, 6 * share)[:, :third])


def test_half_a_subject_is_the_mean_within_one_level():
    picture = noise((200, 300))
    out = planes.blurred(picture, np.full((200, 300), 102, np.uint8), 6)
    for before, after in zip(planes.split(picture), planes.split(out), strict=True):
        want = 0.4 * before + 0.6 * blur(before, 6 * before.shape[1] / 300)
        assert np.abs(after - want).max() <= 1.01


TAGS = "scale=out_color_matrix={0}:out_range=tv,format=yuv420p,setparams=colorspace={1}:range=tv"


@pytest.mark.parametrize(
    ("matrix", "tag"), [("bt709", "bt709"), ("bt601", "smpte170m"), *rare(("bt601", ""))]
)
def test_films_as_planes_show_what_films_in_rgb_show(tmp_path, matrix, tag):
    how = TAGS.format(matrix, tag) if tag else "format=yuv420p"
    film = render(tmp_path / "film.mp4", "-vf", how, "-crf", "5", size="160x120")
    reader = FilmReader(film)
    reader.as_planes(60)
    for plain, frame in zip(FilmReader(film), reader, strict=True):
        assert frame.size_hw == plain.size_hw == (120, 160)
        assert frame.rgb.shape == (60, 80, 3)
        ours = planes.to_rgb(frame.planes).astype(int)
        assert np.abs(ours.mean((0, 1)) - plain.rgb.mean((0, 1))).max() < 3
        assert np.median(np.abs(ours - plain.rgb)) <= 2


@pytest.mark.parametrize(
    ("name", "words", "size"),
    [
        ("deep.mp4", ("-pix_fmt", "yuv420p10le"), "64x48"),
        *rare(  # formats of pixels like the first
            ("fine.mp4", ("-pix_fmt", "yuv444p"), "64x48"),
            ("full.mp4", ("-vf", "scale=out_range=pc,format=yuvj420p"), "64x48"),
        ),
        ("wide.mp4", ("-vf", "format=yuv420p,setparams=color_primaries=bt2020"), "64x48"),
        ("alpha.webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p"), "64x48"),
        ("odd.webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p"), "63x48"),
    ],
)
def test_films_that_would_lose_something_stay_in_rgb(tmp_path, name, words, size):
    film = render(tmp_path / name, *words, size=size)
    reader = FilmReader(film, frames=1)
    reader.as_planes(16)
    (frame,) = reader
    assert frame.planes is None
    assert frame.rgb.shape[:2] == probe(film).size_wh[::-1]
