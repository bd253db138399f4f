"""Scores of stored pairs against those of published implementations."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from sodcli.metrics.measure import measure
from sodcli.metrics.scores import summarise

pytestmark = pytest.mark.golden

STORED = Path(__file__).parents[1] / "data" / "metrics"
CLOSE = 1e-6
NAMES = {
    "Sm": "S",
    "wFm": "wF",
    "MAE": "MAE",
    "adpEm": "adpE",
    "meanEm": "meanE",
    "maxEm": "maxE",
    "adpFm": "adpF",
    "meanFm": "meanF",
    "maxFm": "maxF",
    "mBA_inspyrenet": "mBA",
}


def numbers(name):
    return json.loads((STORED / name).read_text(encoding="utf-8"))


def pairs(name):
    with np.load(STORED / name) as stored:
        count = len(stored.files) // 2
        return [(stored[f"pred_{i:02}"], stored[f"gt_{i:02}"]) for i in range(count)]


PAIRS = pairs("metrics_pairs.npz")
EDGES = pairs("metrics_edge_pairs.npz")
REFERENCE = numbers("metrics.json")
EDGE_REFERENCE = numbers("metrics_edge.json")
CASES = list(
    zip(
        REFERENCE["per_image"] + EDGE_REFERENCE["pysodmetrics"],
        PAIRS + EDGES,
        REFERENCE["per_image_inspyrenet_eval_functions"]
        + EDGE_REFERENCE["inspyrenet_eval_functions"],
        strict=True,
    )
)
IDS = [expected["name"] for expected, _, _ in CASES]


@pytest.fixture(scope="module")
def scored():
    return [measure(pred, gt) for pred, gt in PAIRS]


@pytest.mark.parametrize(("expected", "pair"), [case[:2] for case in CASES], ids=IDS)
def test_scores_of_each_pair_equal_pysodmetrics(expected, pair):
    scores = measure(*pair)
    found = scores.as_dict()
    for theirs, ours in NAMES.items():
        value = float(expected.get(theirs, "nan"))
        if not math.isnan(value):
            assert found[ours] == pytest.approx(value, abs=CLOSE), ours
    undefined = {
        name
        for name, theirs in (("s", "Sm"), ("mba", "mBA_inspyrenet"))
        if expected.get(theirs) == "nan"
    }
    # The edge cases come without mBA; two of them have no boundary.
    assert scores.undefined - {"mba"} == undefined - {"mba"}
    assert undefined <= scores.undefined


@pytest.mark.parametrize(("pair", "expected"), [case[1:] for case in CASES], ids=IDS)
def test_scores_of_each_pair_equal_the_copy_in_inspyrenet_except_s(pair, expected):
    found = measure(*pair).as_dict()
    for theirs, ours in NAMES.items():
        if theirs in expected and ours != "S":
            assert found[ours] == pytest.approx(expected[theirs], abs=CLOSE), ours


def test_an_empty_quadrant_counts_zero_where_the_reference_is_nan():
    # Ground truth in the last row: the quadrants below the cut are empty, those above are all.
    pred, gt = EDGES[0]
    assert EDGE_REFERENCE["pysodmetrics"][0]["name"] == "gt_last_row"
    scores = measure(pred, gt)
    assert scores.undefined == {"s"}
    assert 0 < scores.s < 1


@pytest.mark.parametrize("height", [255, 100])
def test_a_perfect_map_of_any_height_has_an_e_measure_above_one(height):
    truth = np.zeros((20, 30), np.uint8)
    truth[5:12, 6:20] = 255
    scores = summarise([measure(truth // 255 * height, truth)]).as_dict()
    assert scores["maxE"] == pytest.approx(600 / 599, abs=1e-12)
    assert (scores["MAE"], scores["maxF"], scores["wF"]) == (0, 1, 1)


def test_dataset_scores_equal_pysodmetrics(scored):
    whole = summarise(scored)
    expected = REFERENCE["dataset"]
    found = whole.as_dict()
    for theirs, ours in NAMES.items():
        if ours != "mBA":
            assert found[ours] == pytest.approx(expected[theirs], abs=CLOSE), ours
    assert found["mBA"] == pytest.approx(expected["mBA_nanmean"], abs=CLOSE)
    assert whole.undefined == {"mba": 2}
    assert whole.images == 12


def test_curves_equal_pysodmetrics(scored):
    whole = summarise(scored)
    expected = REFERENCE["curves"]
    for name, curve in (
        ("em", whole.e.curve),
        ("fm", whole.f.curve),
        ("p", whole.f.precision),
        ("r", whole.f.recall),
    ):
        np.testing.assert_allclose(curve, expected[name], rtol=0, atol=CLOSE, err_msg=name)


def test_the_numbers_of_minet_follow_from_the_same_scores(scored):
    expected = numbers("minet_metrics.json")
    for image, theirs in zip(scored, expected["per_image"], strict=True):
        assert image.mae == pytest.approx(theirs["mae"], abs=CLOSE)
        assert image.f.adaptive == pytest.approx(theirs["meanf"], abs=CLOSE)
    whole = summarise(scored)
    precision, recall = whole.f.precision, whole.f.recall
    # MINet takes the F-measure of the mean precision and recall, not the mean F-measure.
    best = (1.3 * precision * recall / (0.3 * precision + recall)).max()
    assert best == pytest.approx(expected["MAXF"], abs=CLOSE)


def test_the_s_measure_of_rcrnet_agrees_up_to_its_definition(scored):
    # It divides by N in the deviation and does not stretch the map: `one_pixel` has no white.
    names = [image["name"] for image in REFERENCE["per_image"]]
    same = {"gt_black", "gt_white", "pred_black", "inverted", "pred_const128"}
    stored = numbers("rcrnet_smeasure.json")["S"]
    for name, image, theirs in zip(names, scored, stored, strict=True):
        if name != "one_pixel":
            tolerance = CLOSE if name in same else 1e-4
            assert image.s == pytest.approx(theirs, abs=tolerance), name
