import cv2
import numpy as np
import pytest

from sodcli.imaging.refine import estimate_foreground, near_subject
from tests.conftest import rare


def composite(side, edge, seed=0):
    """A reddish texture over a bluish one, with a soft round edge ``edge`` px wide."""
    rng = np.random.default_rng(seed)
    layers = []
    for tint in ([1, 0.4, 0.3], [0.3, 0.8, 1]):
        coarse = rng.uniform(0.4, 1, (8, 8, 3)).astype(np.float32)
        smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        layers.append(np.clip(smooth * np.float32(tint) * 255, 0, 255))
    rows, columns = np.indices((side, side))
    distance = np.hypot(rows - side / 2, columns - side / 2)
    alpha = np.clip((side * 0.3 - distance) / edge + 0.5, 0, 1).astype(np.float32)
    share = alpha[..., None]
    picture = np.rint(layers[0] * share + layers[1] * (1 - share)).astype(np.uint8)
    return picture, alpha, layers[0]


@pytest.mark.parametrize(
    ("side", "edge"), [(300, 5), (300, 25), pytest.param(2000, 60, marks=pytest.mark.slow)]
)
def test_the_old_background_is_removed_from_the_edge(side, edge):
    picture, alpha, truth = composite(side, edge)
    soft = (alpha > 0.01) & (alpha < 0.99)

    def error(colour):
        return (np.abs(colour - truth).mean(-1) * alpha)[soft].mean()

    assert error(estimate_foreground(picture, alpha)) < error(picture) / 3


def test_over_its_own_background_the_picture_is_unchanged():
    picture, alpha, _ = composite(300, 20)
    again, _, _ = composite(300, 20)
    estimate_foreground(picture, alpha)
    assert np.array_equal(picture, again)


def test_opaque_and_far_pixels_keep_their_colours():
    picture, alpha, _ = composite(300, 20)
    out = estimate_foreground(picture, alpha)
    untouched = (alpha >= 254.5 / 255) | ~near_subject(alpha)
    assert 0.3 < untouched.mean() < 0.95
    assert np.array_equal(out[untouched], picture[untouched])
    assert not np.array_equal(out, picture)


@pytest.mark.parametrize("side", [300, *rare(1601)])  # averaged at its own size, and halved
def test_tiles_have_no_seams(side, monkeypatch):
    picture, alpha, _ = composite(side, 60)
    monkeypatch.setattr("sodcli.imaging.refine._TILE", side)
    whole = estimate_foreground(picture, alpha)
    monkeypatch.setattr("sodcli.imaging.refine._TILE", 41)
    tiled = estimate_foreground(picture, alpha).astype(int)
    assert abs(tiled - whole).max() <= 1


def test_pixels_beside_a_hard_edge_get_the_colour_of_the_subject():
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[:, 30:] = (200, 100, 50)
    alpha = (picture[..., 0] > 0).astype(np.float32)
    out = estimate_foreground(picture, alpha)
    assert (abs(out[:, 22:].astype(int) - (200, 100, 50)) <= 1).all()
    assert (out[:, :22] == 0).all()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_without_partial_alpha_nothing_changes(level):
    picture, alpha, _ = composite(100, 10)
    assert np.array_equal(estimate_foreground(picture, np.full_like(alpha, level)), picture)


@pytest.mark.parametrize("shape", [(1, 1), (1, 600), (600, 1), (3, 1100), (1, 3001), (2999, 5)])
def test_thin_pictures_are_accepted(shape):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    out = estimate_foreground(picture, rng.random(shape, np.float32))
    assert out.shape == picture.shape
    assert out.dtype == np.uint8


def test_near_reaches_eight_pixels_and_ignores_alpha_that_rounds_to_zero():
    alpha = np.full((41, 41), 0.4 / 255, np.float32)
    assert not near_subject(alpha).any()
    alpha[20, 20] = 0.6 / 255
    assert near_subject(alpha).sum() == 17 * 17
