import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sodcli.io.pictures.encode import encode_picture, encode_png
from tests.draw_kit import draw_photo


@given(
    st.sampled_from([(), (3,), (4,)]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_opencv_and_pillow_read_the_same_pixels(channels, height, width, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, *channels), dtype=np.uint8)
    data = encode_png(pixels)
    with Image.open(io.BytesIO(data)) as picture:
        picture.verify()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    order = [2, 1, 0, 3][: len(channels) and channels[0]]
    assert np.array_equal(other[..., order] if channels else other, pixels)


def test_any_memory_layout_is_accepted():
    pixels = draw_photo()[0][::-1, ::2]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


def test_the_profile_is_written():
    data = encode_png(draw_photo()[0], b"a profile")
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == b"a profile"


@pytest.mark.parametrize("kind", ["rgb", "grey"])
def test_png_compresses(kind):
    rgb, disc = draw_photo(size_hw=(300, 400))
    pixels = rgb if kind == "rgb" else disc.astype(np.uint8) * 255
    assert len(encode_png(pixels)) < pixels.size * (0.75 if kind == "rgb" else 0.05)


def test_a_higher_level_gives_a_smaller_png():
    photo = cv2.GaussianBlur(draw_photo(size_hw=(300, 400))[0], (0, 0), 3)
    sizes = [len(encode_picture(photo, ".png", compress=level)) for level in (0, 1, 9)]
    assert sizes[0] > photo.size
    assert sizes[2] < sizes[1] < sizes[0] / 2
    for level in (None, 0, 9):
        data = encode_picture(photo, ".png", compress=level)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), photo)


def test_other_formats_ignore_the_level():
    photo = draw_photo()[0]
    assert encode_picture(photo, ".jpg", compress=9) == encode_picture(photo, ".jpg")
