"""Valid pairs, and their histograms."""

import numpy as np
import pytest

from sodcli.errors import UsageError
from sodcli.metrics.comparison import joint_histogram, make_comparison
from sodcli.metrics.measure import measure

GT = np.zeros((4, 5), np.uint8)
GT[1:3, 1:4] = 255


@pytest.mark.parametrize(
    ("pred", "gt", "complaint"),
    [
        (np.zeros((4, 6), np.uint8), GT, r"\(4, 6\).*\(4, 5\)"),
        (np.zeros((4, 5, 3), np.uint8), GT, r"\(4, 5, 3\)"),
        (np.zeros((0, 5), np.uint8), GT[:0], "empty"),
        (np.zeros((4, 5), np.uint16), GT, "uint16"),
        (np.full((4, 5), 1.01), GT, r"\[0, 1\]"),
        (np.full((4, 5), -0.01), GT, r"\[0, 1\]"),
        (np.full((4, 5), np.nan), GT, r"\[0, 1\]"),
        (np.zeros((4, 5), np.uint8), GT.astype(np.float32), "float32"),
    ],
)
def test_invalid_pairs_are_refused(pred, gt, complaint):
    with pytest.raises(ValueError, match=complaint):
        measure(pred, gt)


def test_an_unknown_measure_is_refused_by_name():
    with pytest.raises(
        UsageError, match=r"'jaccard'. Known: ber, dice, e, f, iou, mae, mba, s, wf"
    ):
        measure(GT, GT, which={"mae", "jaccard"})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_floating_point_map_scores_as_the_picture_it_is_saved_as(dtype):
    grey = np.random.default_rng(0).integers(0, 256, GT.shape).astype(np.uint8)
    np.testing.assert_array_equal(make_comparison((grey / 255).astype(dtype), GT).grey, grey)
    assert measure((grey / 255).astype(dtype), GT).as_dict() == measure(grey, GT).as_dict()


def test_a_boolean_ground_truth_is_the_grey_one_cut_above_128():
    gt = np.array([[0, 127, 128, 129, 255]], np.uint8)
    pred = np.array([[10, 20, 90, 200, 140]], np.uint8)
    np.testing.assert_array_equal(make_comparison(pred, gt).mask, [[0, 0, 0, 1, 1]])
    assert measure(pred, gt > 128).as_dict() == measure(pred, gt).as_dict()


def test_views_with_negative_strides_score_as_copies_do():
    rng = np.random.default_rng(1)
    pred, gt = rng.integers(0, 256, (2, 40, 31)).astype(np.uint8)
    turned = measure(pred[::-1, ::2], gt[::-1, ::2])
    assert turned.as_dict() == measure(pred[::-1, ::2].copy(), gt[::-1, ::2].copy()).as_dict()


def test_the_arguments_are_not_modified():
    rng = np.random.default_rng(2)
    pred, gt = rng.integers(0, 256, (2, 20, 30)).astype(np.uint8)
    kept = pred.copy(), gt.copy()
    measure(pred, gt)
    np.testing.assert_array_equal((pred, gt), kept)


def test_quadrants_meet_after_the_centroid():
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    counts = joint_histogram(make_comparison(grey, GT)).counts
    # Rows 1 and 2 average to 1.5, which rounds to the even 2; columns 1 to 3 to 2.
    assert counts.sum(axis=(1, 2)).tolist() == [3 * 3, 3 * 2, 1 * 3, 1 * 2]
    assert counts[:, 1].sum() == 6
    assert counts[0, 1, 6] == 1


def test_more_pixels_than_float32_can_count_are_counted_exactly():
    side = 4099  # an odd number of pixels, over 2 ** 24
    counts = joint_histogram(
        make_comparison(np.zeros((side, side), np.uint8), np.zeros((side, side), bool))
    ).whole
    assert counts[0, 0] == side * side
    assert counts.sum() == side * side
