import cv2
import numpy as np
import pytest

from sodcli.imaging.blend import blur, cover, mix, over_white
from tests.conftest import rare


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_mix_rounds_the_weighted_sum():
    top, bottom = noise(150, 70, 3), noise(150, 70, 3, seed=1)
    alpha = np.random.default_rng(2).random((150, 70), np.float32)
    want = np.rint(top * alpha[..., None] + bottom * (1 - alpha[..., None]))
    assert np.array_equal(mix(top, bottom, alpha), want)


def test_mix_is_exact_at_both_ends_and_takes_one_colour():
    top, colour = noise(8, 9, 3), np.array([1, 2, 3], np.uint8)
    assert np.array_equal(mix(top, colour, np.ones((8, 9), np.float32)), top)
    assert (mix(top, colour, np.zeros((8, 9), np.float32)) == colour).all()


def test_over_white_covers_transparent_pixels():
    rgb, alpha = noise(8, 9, 3), noise(8, 9, seed=1)
    alpha[0], alpha[1] = 0, 255
    out = over_white(rgb, alpha)
    share = alpha[..., None] / 255
    assert np.array_equal(out, np.rint(rgb * share + 255 * (1 - share)))
    assert (out[0] == 255).all()
    assert np.array_equal(out[1], rgb[1])
    assert over_white(rgb, None) is rgb


@pytest.mark.parametrize("sigma", [3.0, 7.5, 46.9, *rare(3.75, 9.9, 15.0)])
@pytest.mark.parametrize("size_hw", [(301, 397), pytest.param((300, 400), marks=pytest.mark.slow)])
def test_blur_equals_the_gaussian_within_two_grey_levels(sigma, size_hw):
    rgb = cv2.resize(noise(30, 40, 3), size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    rgb[: size_hw[0] // 2, : size_hw[1] // 2] = 255
    difference = abs(blur(rgb, sigma).astype(int) - cv2.GaussianBlur(rgb, (0, 0), sigma))
    assert difference.mean() < 0.4
    assert np.quantile(difference, 0.99) <= 2
    assert difference.max() <= 6  # white noise up to the border, stronger than in any photo


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 400, 3), (400, 1, 3)])
def test_blur_accepts_thin_pictures(shape):
    assert blur(noise(*shape), 12.0).shape == shape


@pytest.mark.parametrize("size_hw", [(40, 40), (20, 80), (80, 20), (300, 500), (1, 7)])
def test_cover_keeps_aspect_ratio_and_centre(size_hw):
    rows, columns = np.indices((120, 200))
    disc = ((rows - 60) ** 2 + (columns - 100) ** 2 < 40**2).astype(np.uint8) * 255
    out = cover(np.repeat(disc[..., None], 3, axis=2), size_hw)
    assert out.shape == (*size_hw, 3)
    if min(size_hw) >= 40:  # the disc is still round
        seen = out[..., 0] > 127
        high, wide = seen[:, size_hw[1] // 2].sum(), seen[size_hw[0] // 2].sum()
        want = 79 * max(size_hw[0] / 120, size_hw[1] / 200)
        assert abs(high - want) <= 2
        assert abs(wide - want) <= 2


def test_cover_of_a_single_pixel_is_flat():
    out = cover(np.array([[[9, 8, 7]]], np.uint8), (5, 90))
    assert (out == (9, 8, 7)).all()
