"""Means over a set of images."""

import json
import pickle
import random

import numpy as np
import pytest

from sodcli.metrics.measure import USUAL, measure
from sodcli.metrics.scores import summarise, summarise_clips

RNG = np.random.default_rng(5)
PAIRS = [
    (RNG.integers(0, 256, shape).astype(np.uint8), RNG.random(shape) < 0.3)
    for shape in [(20, 30), (31, 17), (9, 50), (40, 40), (25, 26)]
]


def score_pairs(pairs, which=USUAL):
    return summarise(measure(*pair, which=which) for pair in pairs)


def test_means_do_not_depend_on_the_order_of_the_images():
    scores = [measure(*pair) for pair in PAIRS * 3]
    first = summarise(scores)
    for seed in range(5):
        random.Random(seed).shuffle(scores)
        again = summarise(scores)
        assert again.as_dict() == first.as_dict()
        np.testing.assert_array_equal(again.f.curve, first.f.curve)
        np.testing.assert_array_equal(again.e.curve, first.e.curve)


def test_the_best_value_is_that_of_the_mean_curve():
    whole = score_pairs(PAIRS)
    curves = np.array([measure(*pair).f.curve for pair in PAIRS])
    assert whole.f.max == pytest.approx(curves.mean(axis=0).max(), abs=1e-12)
    assert whole.f.max < curves.max(axis=1).mean()
    assert whole.f.mean == pytest.approx(curves.mean(), abs=1e-12)


def test_scores_have_the_usual_names_and_order():
    names = ["MAE", "maxF", "meanF", "adpF", "wF", "S", "maxE", "meanE", "adpE", "mBA"]
    assert list(measure(*PAIRS[0]).as_dict()) == names
    whole = score_pairs(PAIRS)
    assert list(whole.as_dict()) == names
    assert json.loads(json.dumps(whole.as_dict())) == whole.as_dict()


def test_only_requested_scores_are_returned():
    light = score_pairs(PAIRS, which={"mae", "f"})
    everything = score_pairs(PAIRS, which=USUAL)
    assert light.as_dict() == {
        name: everything.as_dict()[name] for name in ("MAE", "maxF", "meanF", "adpF")
    }
    assert (light.wf, light.s, light.e, light.mba) == (None, None, None, None)
    assert light.undefined == {}


def test_images_without_a_boundary_are_counted_and_left_out_of_its_mean():
    pred = PAIRS[0][0]
    black, white = np.zeros(pred.shape, bool), np.ones(pred.shape, bool)
    whole = score_pairs([PAIRS[0], (pred, black), (pred, white)])
    assert whole.mba == measure(*PAIRS[0]).mba
    assert whole.undefined == {"mba": 2}
    nothing = score_pairs([(pred, black)])
    assert nothing.mba is None
    assert "mBA" not in nothing.as_dict()


def test_an_empty_quadrant_is_counted_and_scored():
    gt = np.zeros((20, 30), bool)
    gt[:, -1] = True
    whole = score_pairs([(PAIRS[0][0], gt), PAIRS[0]])
    assert whole.undefined == {"s": 1}
    assert whole.s == pytest.approx(sum(measure(*p).s for p in [(PAIRS[0][0], gt), PAIRS[0]]) / 2)


def test_no_images_or_different_measures_have_no_mean():
    with pytest.raises(ValueError, match="no images"):
        summarise([])
    with pytest.raises(ValueError, match="same measures"):
        summarise([measure(*PAIRS[0]), measure(*PAIRS[1], which={"mae"})])


def test_scores_can_be_pickled():
    scores = [measure(*pair) for pair in PAIRS]
    travelled = pickle.loads(pickle.dumps(scores))
    assert summarise(travelled).as_dict() == summarise(scores).as_dict()


def test_the_same_pair_scores_the_same_to_the_last_bit():
    pred, gt = PAIRS[0]
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        kept = [np.ones(rng.integers(1, 5000)) for _ in range(10)]  # other memory addresses
        seen.add(str(measure(pred, gt).as_dict()))
        assert kept
    assert len(seen) == 1


def test_each_clip_weighs_the_same_and_the_maximum_is_that_of_the_mean_curve():
    scores = [measure(*pair) for pair in PAIRS]
    clips = [summarise(scores[:1]), summarise(scores[1:])]
    whole = summarise_clips(clips)
    assert whole.mae == pytest.approx((clips[0].mae + clips[1].mae) / 2)
    assert whole.mae != summarise(scores).mae
    curve = (clips[0].f.curve + clips[1].f.curve) / 2
    assert whole.f.max == pytest.approx(curve.max())
    assert whole.images == 5
    with pytest.raises(ValueError, match="no images"):
        summarise_clips([])
