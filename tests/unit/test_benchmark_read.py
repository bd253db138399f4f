"""Maps and ground truth in every kind of file, and the oddities that are reported."""

import cv2
import numpy as np
import pytest

from sodcli.benchmark.measure import fitted, read_map, read_truth
from sodcli.errors import SourceError
from tests.scoring_kit import save

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
CUT_OUT = np.dstack([GREY * 0 + 200, GREY, GREY, 255 - GREY])
COLOUR = np.dstack([GREY, 255 - GREY, GREY])


@pytest.mark.parametrize(
    ("name", "pixels", "levels", "odd"),
    [
        ("grey.png", GREY, GREY, set()),
        ("grey_as_rgb.png", np.dstack([GREY] * 3), GREY, set()),
        ("opaque.png", np.dstack([GREY] * 3 + [GREY * 0 + 255]), GREY, set()),
        ("faint.png", GREY // 252, GREY // 252, set()),
        ("colour.png", COLOUR, cv2.cvtColor(COLOUR, cv2.COLOR_BGR2GRAY), {"colour"}),
        ("cut_out.png", CUT_OUT, 255 - GREY, {"transparent"}),
        ("deep.png", GREY.astype(np.uint16) * 257, GREY, {"deep"}),
        ("float.tiff", GREY.astype(np.float32) / 255, GREY, {"deep"}),
        ("wild.tiff", np.float32([[np.nan, -1], [0.5, 7]]), [[0, 0], [128, 255]], {"deep"}),
    ],
)
def test_a_map_is_read_as_grey_levels_and_oddities_are_reported(
    tmp_path, name, pixels, levels, odd
):
    found, said = read_map(save(tmp_path / name, pixels))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, levels)
    assert said == odd


@pytest.mark.parametrize(
    ("values", "white", "odd"),
    [
        ([0, 255], [False, True], set()),
        ([0, 1], [False, True], set()),
        ([0, 0], [False, False], set()),
        ([128, 129], [False, True], {"grey truth"}),
        ([0, 7], [False, False], {"faint truth"}),
    ],
)
def test_ground_truth_is_binary_or_classes_or_reported_as_odd(tmp_path, values, white, odd):
    pixels = np.array([values], np.uint8)
    found, said = read_truth(save(tmp_path / "t.png", pixels))
    np.testing.assert_array_equal(found > 128, [white])
    assert said == odd


@pytest.mark.parametrize("classes", [np.uint16([[0, 1]]), np.float32([[0, 1]])])
def test_classes_stored_in_other_types_are_binary(tmp_path, classes):
    found, said = read_truth(save(tmp_path / "t.tiff", classes))
    np.testing.assert_array_equal(found, [[0, 255]])
    assert not said


def test_ground_truth_is_fitted_in_its_own_orientation(tmp_path):
    """The header of a photo that EXIF turns has height and width the other way round."""
    truth = np.zeros((6, 4), np.uint8)
    truth[:3] = 255
    path = save(tmp_path / "t.png", truth)
    for size_hw in ((6, 4), (4, 6)):
        found, said = read_truth(path, size_hw)
        np.testing.assert_array_equal(found, truth)
        assert not said
    fitted_truth, said = read_truth(path, (8, 12))
    np.testing.assert_array_equal(fitted_truth, np.kron(truth, np.ones((2, 2), np.uint8)))
    assert said == {"resized truth"}


@pytest.mark.parametrize("read", [read_map, read_truth])
def test_a_damaged_file_is_named(tmp_path, read):
    path = save(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(SourceError, match=r"cut\.png"):
        read(path)


def test_a_map_of_another_size_is_resized_bilinearly():
    half = fitted(np.array([[0, 200]], np.uint8), (1, 4))
    np.testing.assert_array_equal(half, [[0, 50, 150, 200]])
    assert fitted(GREY, (5, 9)).shape == (5, 9)
