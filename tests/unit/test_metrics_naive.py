"""Every measure against a naive implementation of its formula, on small pictures."""

from fractions import Fraction
from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sodcli.metrics.measure import measure

EPS = np.spacing(1)
CLOSE = 1e-6


@st.composite
def small_pairs(draw):
    """Generate a map (random, of few levels, or constant) and a mask (random, black or white)."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=8))
    grey = st.integers(0, 255)
    levels = draw(st.sampled_from([grey, st.sampled_from([0, 90, 128, 129, 255]), None]))
    if levels is None:
        pred = np.full(shape, draw(grey), np.uint8)
    else:
        pred = draw(arrays(np.uint8, shape, elements=levels))
    gt = draw(
        arrays(np.bool_, shape)
        | st.sampled_from([np.zeros(shape, np.bool_), np.ones(shape, np.bool_)])
    )
    return pred, gt


def stretched(pred):
    p = pred / 255
    return p if p.min() == p.max() else (p - p.min()) / (p.max() - p.min())


def exactly_stretched(pred):
    low, high = int(pred.min()), int(pred.max())
    if low == high:
        low, high = 0, 255
    return [[Fraction(int(value) - low, high - low) for value in row] for row in pred]


def exactly_plain(pred):
    return [[Fraction(int(value), 255) for value in row] for row in pred]


def cut_maps(pred):
    """Threshold the map at 255 ... 0 of 255, then at twice its mean: ``(257, H, W)`` bool."""
    p = stretched(pred)
    floor = np.floor(p * 255).astype(int)
    exact = exactly_stretched(pred)
    mean = sum(map(sum, exact)) / pred.size
    adaptive = [[value >= min(2 * mean, 1) for value in row] for row in exact]
    return np.stack([floor >= threshold for threshold in range(255, -1, -1)] + [adaptive])


def f_of(cut, gt):
    hits = np.count_nonzero(cut & gt)
    if hits == 0:
        return 0.0
    precision, recall = hits / np.count_nonzero(cut), hits / np.count_nonzero(gt)
    return 1.3 * precision * recall / (0.3 * precision + recall)


def e_of(cut, gt):
    if not gt.any():
        total = np.count_nonzero(~cut)
    elif gt.all():
        total = np.count_nonzero(cut)
    else:
        dp, dg = cut - cut.mean(), gt - gt.mean()
        total = ((2 * dp * dg / (dp**2 + dg**2 + EPS) + 1) ** 2 / 4).sum()
    return total / (gt.size - 1 + EPS)


def mean_of(values):
    return sum(values) / len(values)


def object_term(values):
    mean = mean_of(values)
    spread = sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)
    return 2 * mean / (mean**2 + 1 + sqrt(spread) + EPS)


def similarity(cells):
    """Return the structural similarity of (saliency, truth) cells; 0 for an empty quadrant."""
    if not cells:
        return 0.0
    x, y = mean_of([p for p, _ in cells]), mean_of([g for _, g in cells])
    variances = sum((p - x) ** 2 + (g - y) ** 2 for p, g in cells) / (len(cells) - 1 + EPS)
    covariance = sum((p - x) * (g - y) for p, g in cells) / (len(cells) - 1 + EPS)
    shared, spread = 4 * x * y * covariance, (x**2 + y**2) * variances
    if shared != 0:
        return float(shared / (spread + EPS))
    return 1.0 if spread == 0 else 0.0


def s_of(pred, gt, exactly=exactly_stretched):
    exact = exactly(pred)
    if not gt.any() or gt.all():
        mean = float(mean_of([p for row in exact for p in row]))
        return mean if gt.any() else 1 - mean
    height, width = gt.shape
    cells = [((y, x), exact[y][x], int(gt[y, x])) for y in range(height) for x in range(width)]
    hits = [p for _, p, g in cells if g]
    rest = [1 - p for _, p, g in cells if not g]
    objects = (len(hits) * object_term(hits) + len(rest) * object_term(rest)) / gt.size
    cy, cx = (round(mean_of([at[axis] for at, _, g in cells if g])) + 1 for axis in (0, 1))
    regions = 0.0
    for below in (False, True):
        for right in (False, True):
            part = [(p, g) for (y, x), p, g in cells if (y >= cy, x >= cx) == (below, right)]
            regions += len(part) / gt.size * similarity(part)
    return max(0.0, 0.5 * objects + 0.5 * regions)


def wf_of(pred, gt):
    if not gt.any():
        return 0.0
    error = np.abs(stretched(pred) - gt)
    inside = [(int(y), int(x)) for y, x in np.argwhere(gt)]
    spread, weight = error.copy(), np.ones(gt.shape)
    for y, x in np.argwhere(~gt):
        squared, _, _, at = min(((v - y) ** 2 + (u - x) ** 2, u, v, (v, u)) for v, u in inside)
        spread[y, x] = error[at]
        weight[y, x] = 2 - exp(log(0.5) / 5 * sqrt(squared))
    side = np.exp(-(np.arange(-3, 4) ** 2) / 50)
    window = np.outer(side, side) / side.sum() ** 2
    framed = np.pad(spread, 3)
    for y, x in inside:
        error[y, x] = min(error[y, x], (framed[y : y + 7, x : x + 7] * window).sum())
    error *= weight
    recall = 1 - error[gt].mean()
    precision = gt.sum() - error[gt].sum()
    precision /= precision + error[~gt].sum() + EPS
    return 2 * recall * precision / (recall + precision + EPS)


def mba_of(pred, gt):
    """All five bands of a small picture have radius 1: a pixel and its four neighbours."""
    framed = np.pad(gt.astype(float), 1, constant_values=np.nan)
    shifts = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    height, width = gt.shape
    cross = np.stack([framed[y : y + height, x : x + width] for y, x in shifts])
    band = np.nanmax(cross, axis=0) != np.nanmin(cross, axis=0)
    return ((pred > 128) == gt)[band].mean() if band.any() else None


@given(small_pairs())
def test_mae_f_and_e_follow_their_formulas(pair):
    pred, gt = pair
    scores = measure(pred, gt, which={"mae", "f", "e"})
    cuts = cut_maps(pred)
    assert scores.mae == pytest.approx(np.abs(stretched(pred) - gt).mean(), abs=CLOSE)
    f = np.append(scores.f.curve, scores.f.adaptive)
    e = np.append(scores.e.curve, scores.e.adaptive)
    np.testing.assert_allclose(f, [f_of(cut, gt) for cut in cuts], rtol=0, atol=CLOSE)
    np.testing.assert_allclose(e, [e_of(cut, gt) for cut in cuts], rtol=CLOSE, atol=CLOSE)


@given(small_pairs())
def test_precision_and_recall_follow_their_formulas(pair):
    pred, gt = pair
    scores = measure(pred, gt, which={"f"})
    for index, cut in enumerate(cut_maps(pred)[:256]):
        hits = np.count_nonzero(cut & gt)
        precision = hits / max(np.count_nonzero(cut), 1)
        recall = hits / max(np.count_nonzero(gt), 1)
        assert scores.f.precision[index] == pytest.approx(precision, abs=CLOSE)
        assert scores.f.recall[index] == pytest.approx(recall, abs=CLOSE)


@given(small_pairs())
def test_s_follows_its_formula(pair):
    assert measure(*pair, which={"s"}).s == pytest.approx(s_of(*pair), abs=CLOSE)


@given(small_pairs())
def test_mae_s_and_f_of_the_plain_map_follow_their_formulas(pair):
    pred, gt = pair
    scores = measure(pred, gt, which={"mae", "s", "f"}, plain=frozenset({"mae", "s", "f"}))
    assert scores.mae == pytest.approx(np.abs(pred / 255 - gt).mean(), abs=CLOSE)
    assert scores.s == pytest.approx(s_of(pred, gt, exactly_plain), abs=CLOSE)
    curve = [f_of(pred >= threshold, gt) for threshold in range(255, -1, -1)]
    np.testing.assert_allclose(scores.f.curve, curve, rtol=0, atol=CLOSE)


@given(small_pairs())
def test_weighted_f_follows_its_formula(pair):
    assert measure(*pair, which={"wf"}).wf == pytest.approx(wf_of(*pair), abs=CLOSE)


@given(small_pairs())
def test_boundary_accuracy_follows_its_formula(pair):
    scores = measure(*pair, which={"mba"})
    expected = mba_of(*pair)
    if expected is None:
        assert scores.mba is None
        assert scores.undefined == {"mba"}
    else:
        assert scores.mba == pytest.approx(expected, abs=CLOSE)
