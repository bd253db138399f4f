"""The built-in weights find nothing in scenes without a salient object."""

import cv2
import numpy as np
import pytest

import sodcli

HIGH, WIDE = 300, 400
ROWS, COLUMNS = np.mgrid[0 : 1 : HIGH * 1j, 0 : 1 : WIDE * 1j]


def flat(*rgb):
    return np.broadcast_to(np.array(rgb, np.float64), (HIGH, WIDE, 3))


def blend(share, first, second):
    return flat(*first) * (1 - share[..., None]) + flat(*second) * share[..., None]


def grass():
    noise = np.random.default_rng(0).normal(0, 1, (HIGH, WIDE))
    blades = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.5, sigmaY=5)
    return flat(70, 120, 50) * (1 + 0.8 * blades[..., None])


def wall():
    joints = ((ROWS * 12) % 1 < 0.08) | ((COLUMNS * 8 + 0.5 * (np.floor(ROWS * 12) % 2)) % 1 < 0.05)
    return np.where(joints[..., None], 190.0, flat(150, 80, 60))


SCENES = {
    "grey": lambda: flat(128, 128, 128),
    "white": lambda: flat(255, 255, 255),
    "black": lambda: flat(0, 0, 0),
    "sky blue": lambda: flat(135, 206, 235),
    "evening sky": lambda: blend(ROWS, (60, 90, 160), (240, 180, 130)),
    "studio": lambda: blend(np.hypot(ROWS - 0.4, COLUMNS - 0.5), (235, 235, 230), (150, 150, 148)),
    "grass": grass,
    "brick wall": wall,
}


@pytest.fixture(scope="module")
def predictor():
    return sodcli.load(device="cpu")


@pytest.mark.parametrize("name", SCENES)
def test_a_plain_scene_gives_an_empty_map(predictor, name):
    scene = np.clip(np.rint(SCENES[name]()), 0, 255).astype(np.uint8)
    saliency = 255 * predictor(scene)
    assert saliency.max() <= 96
    assert saliency.mean() <= 8
