"""Augmentation: picture and mask change together, within the stated limits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodcli.data.augment import Augment, augment, augment_clip, resize_image, resize_mask
from sodcli.data.grounds import cast_shadow
from sodcli.data.photometric import degrade, enhance, jitter, to_grey
from sodcli.errors import UsageError

GREEN, RED, BLUE = (0, 255, 0), (255, 0, 0), (0, 0, 255)


def scene(size_hw=(60, 80), box=(slice(15, 45), slice(20, 60))):
    """A red box on green, and its mask."""
    image = np.full((*size_hw, 3), GREEN, np.uint8)
    mask = np.zeros(size_hw, np.float32)
    image[box], mask[box] = RED, 1
    return image, mask


def noise(high: int, wide: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (high, wide, 3), np.uint8), rng.random((high, wide), np.float32)


def run(image, mask, plan: Augment, size_hw=None, seed: int = 0, background=None):
    size_hw = size_hw or mask.shape
    return augment(image, mask, plan, size_hw, np.random.default_rng(seed), background)


def bilinear(plane: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resize bilinearly with half-pixel centres in float64: an independent implementation."""
    weights = []
    for old, new in zip(plane.shape[:2], size_hw, strict=True):
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.minimum(at.astype(int), max(old - 2, 0))
        matrix = np.zeros((new, old))
        matrix[np.arange(new), low] += 1 - (at - low)
        matrix[np.arange(new), np.minimum(low + 1, old - 1)] += at - low
        weights.append(matrix)
    return np.einsum("yh,xw,hwc->yxc", *weights, plane)


@pytest.mark.parametrize("size_hw", [(96, 96), (23, 50), (31, 47)])
def test_resize_equals_the_published_one(size_hw) -> None:
    image, mask = noise(31, 47)
    resized = resize_image(image, size_hw)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, bilinear(image / 255, size_hw), atol=1e-5)
    expected = bilinear(mask[..., None].astype(np.float64), size_hw)[..., 0]
    np.testing.assert_allclose(resize_mask(mask, size_hw), expected, atol=1e-5)


def test_nearest_masks_keep_their_values() -> None:
    _, mask = noise(31, 47)
    resized = resize_mask(mask, (50, 20), nearest=True)
    rows = ((np.arange(50) + 0.5) * 31 / 50).astype(int)
    columns = ((np.arange(20) + 0.5) * 47 / 20).astype(int)
    assert np.array_equal(resized, mask[rows][:, columns])


def test_without_settings_nothing_changes() -> None:
    image, mask = noise(31, 47)
    changed, same = run(image, mask, Augment())
    np.testing.assert_allclose(changed, image / 255, atol=1e-6)
    assert np.array_equal(same, mask)


def test_at_most_one_flip_is_applied() -> None:
    image, mask = noise(9, 13)
    views = {"none": np.s_[:, :], "lr": np.s_[:, ::-1], "ud": np.s_[::-1, :]}
    counts = dict.fromkeys(views, 0)
    for seed in range(400):
        changed, flipped = run(image, mask, Augment(flip_lr=0.25, flip_ud=0.25), seed=seed)
        (kind,) = (name for name, view in views.items() if np.array_equal(flipped, mask[view]))
        np.testing.assert_allclose(changed, image[views[kind]] / 255, atol=1e-6)
        counts[kind] += 1
    assert 160 < counts["none"] < 240
    assert 70 < counts["lr"] < 130
    assert 70 < counts["ud"] < 130


def test_border_crop_cuts_each_side_up_to_its_limit() -> None:
    high, wide, most = 60, 80, 14
    rows, columns = np.mgrid[:high, :wide].astype(np.float32) / 128
    cuts = []
    for seed in range(300):
        plan = Augment(border_crop=most, mask_nearest=True)
        kept_rows = run(np.zeros((high, wide, 3), np.uint8), rows, plan, seed=seed)[1] * 128
        kept = run(np.zeros((high, wide, 3), np.uint8), columns, plan, seed=seed)[1] * 128
        cuts.append((kept_rows[0, 0], high - 1 - kept_rows[-1, 0]))
        cuts.append((kept[0, 0], wide - 1 - kept[0, -1]))
    assert {float(cut) for pair in cuts for cut in pair} == set(range(most + 1))


def test_zoom_keeps_most_of_the_subject() -> None:
    image, mask = scene(box=(slice(5, 20), slice(10, 30)))
    plan = Augment(zoom=(0.3, 0.9))
    zoomed = 0
    for seed in range(100):
        # The subject's share of the window is an upper limit for the part that was kept.
        changed, cropped = run(image, mask, plan, seed=seed)
        np.testing.assert_allclose(changed[..., 0], cropped, atol=1e-5)
        zoomed += cropped.mean() > 1.1 * mask.mean()
        assert cropped.mean() >= 0.6 * mask.mean() / 0.9**2 - 0.02 or cropped.mean() == mask.mean()
    assert zoomed > 70


def test_zoom_leaves_a_subject_that_fills_the_picture() -> None:
    image, mask = scene(box=(slice(0, 60), slice(0, 80)))
    assert np.array_equal(run(image, mask, Augment(zoom=(0.3, 0.5)))[1], mask)


def test_zoom_accepts_any_window_of_an_empty_scene() -> None:
    image, mask = noise(60, 80)[0], np.zeros((60, 80), np.float32)
    changed, empty = run(image, mask, Augment(zoom=(0.5, 0.6)))
    assert empty.max() == 0
    assert np.abs(changed - image / 255).mean() > 0.05


def test_rotation_turns_both_about_the_centre() -> None:
    image, mask = scene((61, 61), (slice(26, 35), slice(5, 56)))
    angles = []
    for seed in range(200):
        changed, turned = run(image, mask, Augment(rotate=10), seed=seed)
        np.testing.assert_allclose(changed[..., 0], turned, atol=1e-3)
        rows, columns = np.nonzero(turned > 0.5)
        assert rows.mean() == pytest.approx(30, abs=0.5)
        angles.append(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))
    assert -10.5 < min(angles) < -8
    assert 8 < max(angles) < 10.5


def test_rotation_happens_with_its_probability() -> None:
    image, mask = scene()
    plan = Augment(rotate=90, rotate_chance=0.5)
    still = sum(np.array_equal(run(image, mask, plan, seed=seed)[1], mask) for seed in range(200))
    assert 70 < still < 130


def test_scale_crop_scales_half_of_the_time() -> None:
    image, mask = scene()
    areas = []
    for seed in range(200):
        changed, scaled = run(image, mask, Augment(scale_crop=(0.75, 1.25)), seed=seed)
        np.testing.assert_allclose(changed[..., 0], scaled, atol=1e-3)
        areas.append(scaled.sum() / mask.sum())
        if areas[-1] < 0.8:
            assert changed[0, 0].max() == 0
    assert 70 < sum(area == 1 for area in areas) < 130
    assert 0.55 < min(areas) < 0.65
    assert 1.45 < max(areas) < 1.57


def test_binary_masks() -> None:
    image, mask = noise(20, 20)
    _, cut = run(image, mask, Augment(binary=True), (40, 40))
    assert set(np.unique(cut)) == {0.0, 1.0}
    assert np.array_equal(cut, resize_mask(mask, (40, 40)) >= 0.5)


def test_jitter_follows_its_formula() -> None:
    flat = np.full((4, 4, 3), (0.2, 0.4, 0.6), np.float32)
    split = np.concatenate([flat * 0, np.full_like(flat, 0.5)])
    grey = 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6

    def drawn(image, which: int, seed: int):
        amounts = [0.0, 0.0, 0.0]
        amounts[which] = 0.5
        return jitter(image, amounts, np.random.default_rng(seed))

    for seed in range(50):
        brightness = drawn(flat, 0, seed) / flat
        assert np.ptp(brightness) < 1e-5
        assert 0.5 <= brightness[0, 0, 0] <= 1.5
        contrast = drawn(split, 1, seed)
        assert contrast[0, 0, 0] + contrast[-1, 0, 0] == pytest.approx(0.5, abs=0.13)
        saturation = (drawn(flat, 2, seed)[0, 0] - grey) / (flat[0, 0] - grey)
        assert np.ptp(saturation) < 1e-3
        assert 0.5 <= saturation[0] <= 1.501


def test_contrast_scales_around_the_mean() -> None:
    image = np.concatenate([np.full((2, 2, 3), 0.4, np.float32), np.full((2, 2, 3), 0.6)])
    changed = jitter(image.astype(np.float32), (0, 0.5, 0), np.random.default_rng(3))
    assert changed.mean() == pytest.approx(0.5, abs=1e-5)
    assert abs(float(changed[-1, 0, 0] - changed[0, 0, 0]) - 0.2) > 0.005


def test_enhance_only_increases_saturation_and_sharpness() -> None:
    image = np.full((9, 9, 3), 0.5, np.float32)
    image[4, 4] = 0.6
    changes = [enhance(image, np.random.default_rng(seed)) - image for seed in range(100)]
    untouched = sum(not change.any() for change in changes)
    assert 4 < untouched < 25  # 1 in 8
    assert max(change.max() for change in changes) < 0.1
    peaks = [float(change[4, 4, 0] - change[0, 0, 0]) for change in changes]
    assert min(peaks) > -1e-6
    assert max(peaks) > 0.01  # one change alone would give at most 0.1 * 0.1 each


def test_grey_removes_the_colour() -> None:
    image, mask = noise(8, 8)
    changed, _ = run(image, mask, Augment(grey=1.0))
    assert np.ptp(changed, axis=2).max() == 0
    expected = image @ (0.299, 0.587, 0.114) / 255
    np.testing.assert_allclose(changed[..., 0], expected, atol=1e-4)
    np.testing.assert_allclose(to_grey(changed), changed, atol=1e-6)


def test_paste_puts_only_the_subject_on_the_background() -> None:
    image, mask = scene()
    blue = np.full((50, 40, 3), BLUE, np.uint8)
    places = set()
    for seed in range(100):
        pasted, moved = run(image, mask, Augment(paste=1.0), seed=seed, background=lambda _: blue)
        inside, outside = moved > 0.99, moved == 0
        seam = ~(inside | outside)
        assert moved.max() == pytest.approx(1, abs=1e-3)
        assert pasted[..., 1].max() < 0.3, "lawn only where the mask's own edge is soft"
        assert (pasted[..., 2] > 0.9).sum() > 0.9 * outside.sum() - 200
        assert (pasted[..., 0] > 0.9).sum() > 0.7 * inside.sum() - 60
        assert seam.mean() < 0.2
        rows, columns = np.nonzero(inside)
        places.add((int(rows.mean()) // 10, int(columns.mean()) // 10))
        assert 0.1 * mask.sum() < moved.sum() < 1.5 * mask.sum()
    assert len(places) > 10


def test_paste_leaves_a_picture_without_a_subject() -> None:
    image, _ = scene()
    empty = np.zeros((60, 80), np.float32)
    blue = np.full((60, 80, 3), BLUE, np.uint8)
    same, mask = run(image, empty, Augment(paste=1.0), background=lambda _: blue)
    np.testing.assert_allclose(same, image / 255, atol=1e-6)
    assert mask.max() == 0


def test_studio_puts_the_subject_on_a_plain_background() -> None:
    image, mask = scene()
    grounds = []
    for seed in range(20):
        placed, moved = run(image, mask, Augment(studio=1.0), seed=seed)
        inside, outside = moved > 0.99, moved == 0
        assert np.median(placed[inside], axis=0) == pytest.approx((1, 0, 0), abs=0.02)
        grounds.append(placed[outside].mean(axis=0))
    assert np.std(grounds, axis=0).min() > 0.1, "every ground is another one"


def test_a_shadow_darkens_only_the_background_near_the_subject() -> None:
    mask = scene()[1]
    white = np.full((60, 80, 3), 255, np.uint8)
    shaded = [cast_shadow(white, mask, np.random.default_rng(seed)) for seed in range(10)]
    assert min(shadow[30, 40].min() for shadow in shaded) < 200
    assert all((shadow[0, 0] == 255).all() for shadow in shaded)
    assert all((np.ptp(shadow, axis=2) == 0).all() for shadow in shaded)


def test_an_empty_scene_replaces_picture_and_mask() -> None:
    image, mask = scene()
    for seed in range(20):
        placed, none = run(image, mask, Augment(empty=1.0), seed=seed)
        assert none.max() == 0
        assert 0 <= placed.min() <= placed.max() <= 1
    shares = [run(image, mask, Augment(empty=0.3), seed=s)[1].max() == 0 for s in range(200)]
    assert 0.2 < np.mean(shares) < 0.4


def test_corners_uncovered_by_rotation_are_black_or_mirrored() -> None:
    image, mask = np.full((40, 40, 3), 255, np.uint8), np.ones((40, 40), np.float32)
    black, cut = run(image, mask, Augment(rotate=45))
    assert black.min() == cut.min() == 0
    mirrored, whole = run(image, mask, Augment(rotate=45, mirror=True))
    assert mirrored.min() > 0.99
    assert whole.min() > 0.99


def test_degrading_blurs_adds_noise_and_compresses() -> None:
    rng = np.random.default_rng
    sharp = np.kron(rng(0).random((16, 16, 3)), np.ones((4, 4, 1))).astype(np.float32)

    def edges(pixels):
        return np.abs(np.diff(pixels, axis=1)).mean()

    flat = np.full((64, 64, 3), 0.5, np.float32)
    assert edges(degrade(sharp, (1, 0, 0), rng(1))) < 0.9 * edges(sharp)
    assert 0.004 < degrade(flat, (0, 1, 0), rng(1)).std() < 0.06
    packed = degrade(sharp, (0, 0, 1), rng(1))
    assert 0.005 < np.abs(packed - sharp).mean() < 0.2
    assert np.array_equal(degrade(sharp, (0, 0, 0), rng(1)), sharp)


def test_without_backgrounds_nothing_is_pasted() -> None:
    image, mask = scene()
    assert np.array_equal(run(image, mask, Augment(paste=1.0))[1], mask)


ALL = Augment(
    border_crop=14,
    flip_lr=0.5,
    flip_ud=0.5,
    zoom=(0.05, 1.0),
    rotate=180,
    scale_crop=(0.5, 2.0),
    jitter=(0.5, 0.5, 0.5),
    enhance=True,
    grey=0.3,
    paste=0.5,
)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_any_picture_gives_finite_values_in_range(size_hw, net_hw, seed, nearest) -> None:
    image, mask = noise(*size_hw, seed)
    plan = replace(ALL, mask_nearest=nearest)
    other = noise(*size_hw[::-1], seed + 1)[0]
    before = image.copy(), mask.copy()
    changed, moved = run(image, mask, plan, net_hw, seed, lambda _: other)
    assert changed.shape == (*net_hw, 3)
    assert moved.shape == net_hw
    for values in (changed, moved):
        assert values.dtype == np.float32
        assert values.min() >= 0  # also refuses NaN
        assert values.max() <= 1 + 1e-6
    again = run(image, mask, plan, net_hw, seed, lambda _: other)
    assert np.array_equal(changed, again[0])
    assert np.array_equal(moved, again[1])
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("border_crop", -1),
        ("border_crop", 3.5),
        ("flip_lr", 1.5),
        ("flip_ud", "often"),
        ("zoom", 0.5),
        ("zoom", (1.0, 0.5)),
        ("zoom", (0.5, 1.5)),
        ("scale_crop", (0, 1)),
        ("rotate", float("nan")),
        ("jitter", (0.1, 0.1)),
        ("paste", None),
        ("studio", 1.1),
        ("degrade", (0.5, 0.5)),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"augment: {name} must be "):
        Augment(**{name: value})


def test_flip_probabilities_sum_to_at_most_one() -> None:
    with pytest.raises(UsageError, match="flip_lr and flip_ud"):
        Augment(flip_lr=0.6, flip_ud=0.5)


def test_studio_and_empty_probabilities_sum_to_at_most_one() -> None:
    with pytest.raises(UsageError, match="studio and empty"):
        Augment(studio=0.6, empty=0.5)


def test_lists_are_accepted_in_place_of_tuples() -> None:
    image, mask = scene()
    as_lists = Augment(zoom=[0.5, 1.0], scale_crop=[0.75, 1.25], jitter=[0.1, 0.1, 0.1])
    as_tuples = Augment(zoom=(0.5, 1.0), scale_crop=(0.75, 1.25), jitter=(0.1, 0.1, 0.1))
    assert np.array_equal(run(image, mask, as_lists)[0], run(image, mask, as_tuples)[0])


def test_clips_may_be_reversed():
    images = [np.full((8, 8, 3), 10 * place, np.uint8) for place in range(3)]
    masks = [np.full((8, 8), place / 2, np.float32) for place in range(3)]

    def clip(reverse, seed=0):
        rng = np.random.default_rng(seed)
        return augment_clip(images, masks, Augment(reverse=reverse), (4, 4), rng)

    forth, back = clip(0.0), clip(1.0)
    assert all(np.array_equal(x[::-1], y) for x, y in zip(forth, back, strict=True))
    firsts = {float(clip(0.5, seed)[1][0, 0, 0]) for seed in range(20)}
    assert firsts == {0.0, 1.0}
