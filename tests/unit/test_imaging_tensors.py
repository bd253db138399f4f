import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodcli.imaging.tensors import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    binarise,
    half_size,
    to_input,
    to_saliency,
    with_context,
)

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def bilinear(plane, size_hw):
    """Half-pixel bilinear by its definition, in float64."""
    for axis, target in enumerate(size_hw):
        source = plane.shape[axis]
        at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, source - 1)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(plane.ndim)])
        plane = plane.take(low, axis) * (1 - share) + plane.take(high, axis) * share
    return plane


@pytest.mark.parametrize("size_hw", [(64, 64), (320, 200), (31, 7), (120, 160), (1, 1)])
def test_input_is_bilinear_with_half_pixel_centres(size_hw):
    rgb = noise(120, 160)
    want = (bilinear(rgb / 255, size_hw) - IMAGENET_MEAN) / IMAGENET_STD
    got = to_input(rgb, size_hw)
    assert got.shape == (3, *size_hw)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got, want.transpose(2, 0, 1), atol=2e-5)


def test_each_channel_is_normalised_by_its_own_mean_and_deviation():
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[..., 1] = 255
    got = to_input(rgb, (2, 2), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    np.testing.assert_allclose(got[:, 0, 0], [-0.2, 3.2, -0.15], atol=1e-6)


def test_fine_texture_turns_grey_only_with_antialias():
    rgb = np.zeros((1000, 1400, 3), np.uint8)
    rgb[:, ::2] = 255
    thin = to_input(rgb, (100, 97), **PLAIN)
    smooth = to_input(rgb, (100, 97), antialias=True, **PLAIN)
    assert thin.std() > 0.2
    assert abs(smooth - 0.5).max() < 0.05


@pytest.mark.parametrize("height_width", [(1000, 20), (20, 1000)])
def test_antialias_works_along_one_side_while_the_other_grows(height_width):
    rgb = np.zeros((1000, 20, 3), np.uint8)
    rgb[::2] = 255
    if height_width[0] < height_width[1]:
        rgb = rgb.transpose(1, 0, 2).copy()
    assert abs(to_input(rgb, (64, 64), antialias=True, **PLAIN) - 0.5).max() < 0.05


def test_antialias_leaves_moderate_scales_alone():
    rgb = noise(120, 120)
    assert np.array_equal(to_input(rgb, (60, 60), antialias=True), to_input(rgb, (60, 60)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1)])
def test_thin_pictures_are_accepted(shape):
    got = to_input(noise(*shape), (32, 32), antialias=True)
    assert got.shape == (3, 32, 32)
    assert to_saliency(np.zeros((32, 32), np.float32), shape).shape == shape


def test_saliency_is_the_sigmoid_without_min_max():
    logits = np.array([[-3.0, -2.5], [-2.0, -3.0]], np.float32)
    np.testing.assert_allclose(to_saliency(logits, (2, 2)), 1 / (1 + np.exp(-logits)), rtol=1e-5)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_any_logit_gives_a_probability(values):
    logits = np.array([values], np.float32)
    out = to_saliency(logits, (3, 11))
    assert out.dtype == np.float32
    assert out.min() >= 0
    assert out.max() <= 1


def test_the_sigmoid_is_applied_before_resizing():
    logits = np.random.default_rng(1).normal(0, 4, (9, 12)).astype(np.float32)
    got = to_saliency(logits[:, ::2], (40, 30))
    assert got.flags.c_contiguous
    np.testing.assert_allclose(
        got, bilinear(1 / (1 + np.exp(-logits[:, ::2])), (40, 30)), atol=1e-5
    )


def test_the_threshold_itself_is_salient():
    cut = binarise(np.array([[0.2, 0.5, 0.7]], np.float32), 0.5)
    assert cut.dtype == np.float32
    assert cut.tolist() == [[0, 1, 1]]


@pytest.mark.slow
def test_imaging_does_not_need_torch():
    code = "import sys, sodcli.imaging.compose; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("sides", "want"), [((64, 96), (32, 48)), ((67, 40), (33, 32))])
def test_half_size_averages_areas_and_keeps_the_least_side(sides, want):
    batch = np.random.default_rng(0).standard_normal((2, 3, *sides)).astype(np.float32)
    small = half_size(batch, 32)
    assert small.shape == (2, 3, *want)
    assert small.dtype == np.float32
    np.testing.assert_allclose(small.mean((2, 3)), batch.mean((2, 3)), atol=1e-5)
    if want == (32, 48):
        np.testing.assert_allclose(small[..., 0, 0], batch[..., :2, :2].mean((2, 3)), atol=1e-6)


def test_context_moves_the_means_and_keeps_the_details():
    rows, columns = np.indices((64, 96))
    details = np.where((rows + columns) % 2, 3, -3).astype(np.float32)
    raised = with_context(details, np.full((32, 48), 10, np.float32), 0.35)
    np.testing.assert_allclose(raised, details + 3.5, atol=1e-5)
    half = np.where(columns < 48, 4, 0).astype(np.float32)  # another answer on the left only
    moved = with_context(details, half, 0.5) - details
    np.testing.assert_allclose(moved[:, :40], 2, atol=1e-5)
    np.testing.assert_allclose(moved[:, 56:], 0, atol=1e-5)
    assert (np.diff(moved, axis=1) <= 1e-5).all()  # no seam between


@pytest.mark.parametrize("size_hw", [(64, 96), (33, 71), (8, 5)])
def test_context_of_the_same_answer_changes_nothing(size_hw):
    logits = np.random.default_rng(0).standard_normal(size_hw).astype(np.float32)
    np.testing.assert_allclose(with_context(logits, logits, 0.35), logits, atol=1e-6)
    other = np.zeros((32, 32), np.float32)
    np.testing.assert_allclose(with_context(logits, other, 0.0), logits, atol=1e-6)
