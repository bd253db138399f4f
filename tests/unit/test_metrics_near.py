"""Measures that process only the surroundings of the foreground omit nothing."""

import cv2
import numpy as np
import pytest

from sodcli.metrics.measure import measure


def blob(height, width, centre, radius):
    y, x = np.mgrid[:height, :width]
    return np.hypot(y - centre[0], x - centre[1]) < radius


def noisy_map(gt, seed):
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(gt.astype(np.float32) * 200, (0, 0), 4)
    return np.clip(soft + rng.normal(25, 25, gt.shape), 0, 255).astype(np.uint8)


def distance_to(gt):
    """Return the distance of every pixel to the foreground by exhaustive search."""
    outline = np.argwhere(gt & (cv2.erode(gt.view(np.uint8), np.ones((3, 3))) == 0))
    y, x = np.mgrid[: gt.shape[0], : gt.shape[1]]
    squared = np.min([(y - v) ** 2 + (x - u) ** 2 for v, u in outline], axis=0)
    return np.where(gt, 0, np.sqrt(squared))


@pytest.mark.parametrize("centre", [(30, 40), (150, 3), (299, 399)])
def test_weighted_f_counts_the_background_far_from_the_object(centre):
    gt = blob(300, 400, centre, 9)
    pred = noisy_map(gt, 3)
    p = (pred / 255 - pred.min() / 255) / ((pred.max() - pred.min()) / 255)
    false = (p * (2 - np.exp(np.log(0.5) / 5 * distance_to(gt))))[~gt].sum()
    recall = recall_of(p, gt)
    precision = gt.sum() * recall / (gt.sum() * recall + false)
    expected = 2 * recall * precision / (recall + precision)
    assert measure(pred, gt, which={"wf"}).wf == pytest.approx(expected, rel=1e-6)


def recall_of(p, gt):
    """Return the weighted recall; the nearest foreground pixel is found by exhaustive search."""
    # Of equally near pixels the leftmost is used, then the upper one.
    inside = sorted((x, y) for y, x in np.argwhere(gt))
    spread = np.abs(p - gt)
    for y, x in np.argwhere(~gt & (cv2.dilate(gt.view(np.uint8), np.ones((9, 9))) > 0)):
        u, v = min(inside, key=lambda at: (at[1] - y) ** 2 + (at[0] - x) ** 2)
        spread[y, x] = abs(p[v, u] - 1)
    eased = cv2.GaussianBlur(spread, (7, 7), 5, borderType=cv2.BORDER_CONSTANT)
    return 1 - np.minimum(np.abs(p - gt), eased)[gt].mean()


@pytest.mark.parametrize("centre", [(300, 500), (0, 700), (719, 1079)])
def test_boundary_accuracy_of_a_large_image_takes_five_widths(centre):
    gt = blob(720, 1080, centre, 90)
    pred = noisy_map(gt, 4)
    right = (pred > 128) == gt
    shares = []
    for radius in (1, 2, 3, 4, 5):  # (720 + 1080) / 300 = 6 pixels, minus 1, in fifths
        element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        mask = gt.view(np.uint8)
        shares.append(right[cv2.dilate(mask, element) != cv2.erode(mask, element)].mean())
    assert len(set(shares)) == 5
    assert measure(pred, gt, which={"mba"}).mba == pytest.approx(np.mean(shares), abs=1e-12)
