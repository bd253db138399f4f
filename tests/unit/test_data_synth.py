"""Motion synthesised from stills: smooth, seeded, with a mask that follows the subject."""

import cv2
import numpy as np
import pytest

from sodcli.data.augment import Augment
from sodcli.data.synth import clip_from_photo, fill_behind, move_still

RED, BLUE = (230, 20, 20), (20, 30, 220)


def still(seed=0, size_hw=(90, 120)):
    """A red ellipse on blue, with the mask of its pixels."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size_hw, np.uint8)
    middle = tuple(int(x) for x in rng.integers((40, 30), (80, 60)))
    cv2.ellipse(mask, middle, (22, 14), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return np.where(mask[..., None] > 0, RED, BLUE).astype(np.uint8), mask.astype(np.float32)


def moving(seed, length=8, **changes):
    return move_still(*still(seed), length, np.random.default_rng(seed), **changes)


def centre(mask):
    y, x = np.nonzero(mask > 0.5)
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize("seed", range(12))
def test_the_mask_covers_the_subject_in_every_frame(seed):
    images, masks = moving(seed)
    assert len(images) == len(masks) == 8
    for image, mask in zip(images, masks, strict=True):
        assert (image.dtype, mask.dtype) == (np.uint8, np.float32)
        assert image.shape == (90, 120, 3)
        red = image[..., 0] > 125
        sure = np.abs(mask - 0.5) > 0.45  # not the soft rim
        sure &= cv2.erode(sure.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert (red == (mask > 0.5))[sure].all()
        assert sure.mean() > 0.8


def test_subject_and_background_move_smoothly_and_independently():
    rng = np.random.default_rng(0)
    apart, jerks = [], []
    for seed in range(20):
        image, mask = still(seed)
        texture = rng.integers(0, 120, image.shape, dtype=np.uint8)
        texture = np.where(mask[..., None] > 0, image, cv2.GaussianBlur(texture, (0, 0), 2))
        images, masks = move_still(texture, mask, 8, np.random.default_rng(seed))
        steps = np.diff([centre(m) for m in masks], axis=0)
        jerks.append(np.abs(np.diff(steps, axis=0)).max())
        first, last = (cv2.cvtColor(images[at], cv2.COLOR_RGB2GRAY) for at in (0, 1))
        away = (cv2.dilate(np.maximum(masks[0], masks[1]), np.ones((9, 9))) == 0).astype(np.float32)
        (dx, dy), _ = cv2.phaseCorrelate(np.float32(first) * away, np.float32(last) * away)
        apart.append(np.hypot(*(steps[0] - (dx, dy))))
    assert np.median(apart) > 0.2
    assert max(jerks) < 8


def test_the_clip_depends_on_the_seed():
    once, again, other = moving(3), moving(3), move_still(*still(3), 8, np.random.default_rng(4))
    for left, right in zip([*once[0], *once[1]], [*again[0], *again[1]], strict=True):
        np.testing.assert_array_equal(left, right)
    assert any((a != b).any() for a, b in zip(once[1], other[1], strict=True))


def test_most_of_the_subject_stays_in_view():
    for seed in range(40):
        _, masks = moving(seed)
        areas = np.array([mask.sum() for mask in masks])
        assert areas.min() > 0.2 * still(seed)[1].sum()


def test_without_a_subject_the_camera_moves_alone():
    image, _ = still(1)
    images, masks = move_still(image, np.zeros((90, 120), np.float32), 4, np.random.default_rng(3))
    assert not np.any(masks)
    assert (images[0] != images[-1]).any()


def test_a_subject_that_fills_the_picture_is_moved():
    image, _ = still(1)
    images, masks = move_still(image, np.ones((90, 120), np.float32), 4, np.random.default_rng(0))
    assert len(images) == 4
    assert min(mask.mean() for mask in masks) > 0.3


def test_another_picture_can_be_the_background():
    green = np.full((50, 50, 3), (10, 200, 10), np.uint8)
    images, masks = moving(2, background=green)
    for image, mask in zip(images, masks, strict=True):
        assert (image[mask == 0] == (10, 200, 10)).all()


def test_the_filled_hole_looks_like_its_surroundings():
    """A striped background stays striped where the subject was, without its colour."""
    _, mask = still(5)
    stripes = np.where((np.arange(120) // 6 % 2)[None, :, None], 40, 120) * np.ones((90, 120, 3))
    photo = np.where(mask[..., None] > 0, RED, stripes).astype(np.uint8)
    filled = fill_behind(photo, mask)
    far = cv2.dilate(mask, np.ones((9, 9))) == 0
    np.testing.assert_array_equal(filled[far], photo[far])
    inside = filled[mask > 0].astype(int)
    assert np.abs(inside[:, 0] - inside[:, 2]).max() < 40  # grey, not red
    assert inside[:, 0].std() > 8  # stripes, not a flat area


@pytest.mark.parametrize("motion", [0.0, 1.0])
def test_photos_become_clips(motion):
    image, mask = still(0, (200, 300))
    plan = Augment(flip_lr=0.5, jitter=(0.2, 0.2, 0.2), zoom=(0.6, 1.0), border_crop=3)

    def clip():
        rng = np.random.default_rng(1)
        return clip_from_photo(image, mask, plan, (48, 64), rng, length=6, motion=motion)

    colour, truth = clip()
    assert (colour.shape, truth.shape) == ((6, 48, 64, 3), (6, 48, 64))
    assert (colour.dtype, truth.dtype) == (np.float32, np.float32)
    assert (colour[0] == colour[-1]).all() == (motion == 0)
    np.testing.assert_array_equal(colour, clip()[0])


def test_backgrounds_are_pasted_behind_stills_and_moving_ones():
    image, mask = still(0)
    green = np.full((80, 80, 3), (10, 200, 10), np.uint8)
    for motion in (0.0, 1.0):
        settings = (Augment(paste=1.0), (90, 120), np.random.default_rng(2), lambda _: green)
        colour, truth = clip_from_photo(image, mask, *settings, length=3, motion=motion)
        assert np.abs(colour[truth == 0] - np.array([10, 200, 10]) / 255).max() < 0.01
