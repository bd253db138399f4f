"""Warping and the length of flow, on flows written by hand."""

import numpy as np
import pytest
import torch

from sodcli.imaging.flow import magnitude, resize_flow, warp


def flow_of(dx, dy, size_hw=(5, 7)):
    return np.broadcast_to(np.float32([dx, dy]), (*size_hw, 2)).copy()


@pytest.fixture
def ramp():
    """A picture whose pixels all differ."""
    return np.arange(35, dtype=np.float32).reshape(5, 7)


def test_zero_flow_changes_nothing(ramp):
    assert np.array_equal(warp(ramp, flow_of(0, 0)), ramp)


def test_the_flow_points_to_the_source_of_a_value(ramp):
    moved = warp(ramp, flow_of(2, -1))
    assert np.array_equal(moved[1:, :5], ramp[:-1, 2:])


def test_values_outside_are_those_of_the_edge(ramp):
    assert np.array_equal(warp(ramp, flow_of(100, 0)), np.repeat(ramp[:, -1:], 7, axis=1))
    assert np.array_equal(warp(ramp, flow_of(0, -100.5)), np.repeat(ramp[:1], 5, axis=0))
    assert warp(ramp, flow_of(-0.25, -0.25))[0, 0] == ramp[0, 0]


def test_values_between_pixels_are_interpolated(ramp):
    moved = warp(ramp, flow_of(0.25, 0.5))
    mixed = [[0.75, 0.25]] * np.array([[0.5], [0.5]]) * ramp[2:4, 3:5]
    assert moved[2, 3] == pytest.approx(mixed.sum())


def test_every_pixel_has_its_own_flow(ramp):
    flow = flow_of(0, 0)
    flow[4, 6] = (-6, -4)
    flow[0, 0] = (6, 4)
    moved = warp(ramp, flow)
    assert (moved[0, 0], moved[4, 6]) == (ramp[4, 6], ramp[0, 0])
    assert np.array_equal(moved.ravel()[1:-1], ramp.ravel()[1:-1])


def test_flow_lengths_are_relative_to_the_sides():
    assert np.allclose(magnitude(flow_of(7, 0)), 1)
    assert np.allclose(magnitude(flow_of(0, -5)), 1)
    assert np.allclose(magnitude(flow_of(0.3 * 7, 0.4 * 5)), 0.5)


def test_a_resized_flow_is_in_new_pixels():
    assert np.allclose(resize_flow(flow_of(4, 6, (8, 12)), (4, 18)), flow_of(6, 3, (4, 18)))
    same = flow_of(4, 6, (8, 12))
    assert resize_flow(same, (8, 12)) is same


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (33, 41)])
def test_tensors_are_warped_like_arrays(size_hw):
    from sodcli.models import fgplg  # slow to import

    rng = np.random.default_rng(0)
    values = rng.random(size_hw).astype(np.float32)
    flow = (10 * rng.standard_normal((*size_hw, 2))).astype(np.float32)
    tensor = torch.from_numpy(flow.transpose(2, 0, 1)[None].copy())
    warped = fgplg.warp(torch.from_numpy(values)[None, None], tensor)[0, 0]
    np.testing.assert_allclose(warped, warp(values, flow), rtol=0, atol=1e-4)
    np.testing.assert_allclose(fgplg.magnitude(tensor)[0, 0], magnitude(flow), rtol=1e-6, atol=1e-6)
