"""Output types equal those of transparent-background, except for intended differences.

That tool truncates values and ours rounds, so all differ by up to one grey level.
"""

import cv2
import numpy as np
import pytest
from PIL import Image

from sodcli.benchmark.paper_protocol import published_map
from sodcli.frame import Frame
from sodcli.imaging.blend import blur, mix
from sodcli.imaging.compose import Look, compose
from sodcli.imaging.refine import near_subject
from sodcli.imaging.tensors import binarise, to_input
from sodcli.registry import default_registry
from tests.conftest import DATA

pytestmark = pytest.mark.golden
SIZE_HW = (60, 84)
UNREFINED = Look(refine=False)


@pytest.fixture(scope="module")
def stored():
    return dict(np.load(DATA / "inspyrenet" / "transparent_background_outputs.npz"))


@pytest.fixture(scope="module")
def saliency(stored):
    """The network's output resized to the picture with aligned corners."""
    p = np.clip(stored["pred96"].astype(np.float64), 1e-12, 1 - 1e-12)
    logits = np.log(p / (1 - p)).astype(np.float32)
    return published_map(logits, SIZE_HW, default_registry().model("inspyrenet"))


def composed(kind, stored, saliency, look=UNREFINED):
    frame = Frame(rgb=stored["image"], index=0, name="x").with_saliency(saliency)
    return compose(kind, frame, look).astype(int)


def within(found, expected, levels=1):
    assert found.shape == expected.shape
    assert np.abs(found - expected.astype(int)).max() <= levels


def test_the_network_input_equals_theirs(stored):
    small = Image.fromarray(stored["image"]).resize((96, 96), Image.Resampling.BILINEAR)
    found = to_input(np.asarray(small), (96, 96))[:, ::4, ::4]
    np.testing.assert_allclose(found, stored["net_input"], rtol=0, atol=1e-5)


def test_the_map_equals_one_channel_of_theirs(stored, saliency):
    within(composed("map", stored, saliency), stored["out_map"][..., 0])
    hard = binarise(saliency, 0.5)
    within(composed("map", stored, hard), stored["out_map_thr05"][..., 0], levels=0)


def test_flat_backgrounds(stored, saliency):
    within(composed("green", stored, saliency), stored["out_green"])
    for key, colour in {"white": (255, 255, 255), "color255_0_0": (255, 0, 0)}.items():
        flat = np.full((4, 4, 3), colour, np.uint8)
        look = Look(background=flat, refine=False)
        within(composed("picture", stored, saliency, look), stored[f"out_{key}"])


def test_reversed_maps(stored, saliency):
    """There is no option for them; a reversed map is composed like any other map."""
    rest = 1 - binarise(saliency, 0.5)
    within(composed("green", stored, rest), stored["out_green_thr05_reverse"])
    alpha = composed("rgba", stored, 1 - saliency)[..., 3]
    within(alpha, stored["out_rgba_reverse"][..., 3])


def test_overlay(stored, saliency):
    within(composed("overlay", stored, saliency), stored["out_overlay"])


def test_rgba_removes_colours_far_from_the_subject(stored, saliency):
    """Theirs still contains the removed background under alpha 0."""
    found, expected = composed("rgba", stored, saliency), stored["out_rgba"]
    near = near_subject(saliency)
    within(found[..., 3], expected[..., 3])
    within(found[..., :3] * near[..., None], expected[..., :3] * near[..., None], levels=0)
    assert not found[~near].any()


def test_a_background_picture_keeps_its_aspect_ratio(stored, saliency):
    """Theirs is stretched; a background of the frame's shape is the same in both."""
    stretched = cv2.resize(stored["background"], SIZE_HW[::-1])
    look = Look(background=stretched, refine=False)
    within(composed("picture", stored, saliency, look), stored["out_bgimage"])


def test_the_blur_scales_with_the_picture(stored, saliency):
    """Theirs has a radius of 15 px in every picture; ours has it at a width of 1280 px."""
    theirs = blur(stored["image"], 15)
    within(mix(stored["image"], theirs, saliency).astype(int), stored["out_blur"], levels=4)
    ours = mix(stored["image"], blur(stored["image"], 15 / 1280 * SIZE_HW[1]), saliency)
    assert np.array_equal(composed("blur", stored, saliency), ours)
