"""Optical flow of pictures with known motion."""

import cv2
import numpy as np
import pytest
import torch

from sodcli.imaging.flow import DisFlow, flow_between
from sodcli.models.raft import RaftFlow, build


def cloth(size_hw=(96, 128), seed=0):
    """Draw a texture that is smooth enough for optical flow."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


def moved_by(rgb, dx, dy):
    matrix = np.float32([[1, 0, dx], [0, 1, dy]])
    return cv2.warpAffine(rgb, matrix, rgb.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def inner(flow, margin=20):
    return flow[margin:-margin, margin:-margin]


def test_the_flow_points_from_the_target_into_the_other_frame():
    target = cloth()
    flow = DisFlow()(target, moved_by(target, 5, -3))
    assert (flow.shape, flow.dtype) == ((96, 128, 2), np.float32)
    assert abs(np.median(inner(flow), axis=(0, 1)) - (5, -3)).max() < 0.3


def test_the_flow_between_equal_frames_is_zero():
    target = cloth()
    assert abs(DisFlow()(target, target)).max() < 0.1


@pytest.mark.parametrize("size_hw", [(1, 1), (9, 200), (31, 33)])
def test_frames_of_any_size_have_a_flow(size_hw):
    target = cloth(size_hw)
    flow = DisFlow()(target, target)
    assert flow.shape == (*size_hw, 2)
    assert np.isfinite(flow).all()


def test_large_frames_are_scaled_down_and_the_flow_scaled_back():
    seen = []
    target = cloth((720, 960))

    def estimator(one, other):
        seen.append(one.shape)
        return DisFlow()(one, other)

    flow = flow_between(estimator, target, moved_by(target, 6, 4))
    assert seen == [(480, 640, 3)]
    assert flow.shape == (720, 960, 2)
    assert abs(np.median(inner(flow), axis=(0, 1)) - (6, 4)).max() < 0.5


def test_small_frames_are_not_scaled():
    target = cloth()
    assert np.array_equal(
        flow_between(DisFlow(), target, moved_by(target, 2, 2)),
        DisFlow()(target, moved_by(target, 2, 2)),
    )


@pytest.fixture(scope="module")
def raft():
    torch.manual_seed(0)
    return build(size="small").eval()


@pytest.mark.slow
def test_raft_keeps_the_same_interface(raft):
    flow = RaftFlow(raft, torch.device("cpu"))(cloth((50, 141)), cloth((50, 141), seed=1))
    assert (flow.shape, flow.dtype) == ((50, 141, 2), np.float32)
    assert np.isfinite(flow).all()


@pytest.mark.slow
def test_raft_gets_the_input_of_torchvision(raft):
    from torchvision.models.optical_flow import Raft_Small_Weights

    frames = [cloth((128, 136), seed) for seed in range(2)]
    tensors = [torch.from_numpy(frame).permute(2, 0, 1)[None] for frame in frames]
    with torch.inference_mode():
        wanted = raft(*Raft_Small_Weights.C_T_V2.transforms()(*tensors))[0]
    found = RaftFlow(raft, torch.device("cpu"))(*frames)
    np.testing.assert_allclose(found.transpose(2, 0, 1), wanted, rtol=1e-4, atol=1e-3)
