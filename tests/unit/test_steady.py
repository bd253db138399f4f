"""The temporal filter: less flicker, no lag behind motion, nothing kept across a cut."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from sodcli.frame import Frame
from sodcli.runtime import steady
from sodcli.runtime.steady import SteadyFilter, steadied
from sodcli.runtime.stream import live_predictor, saliency_stream
from tests.conftest import rare
from tests.draw_kit import draw_photo
from tests.film_kit import echo_predictor

SIZE = (120, 200)


def scene(count=12, speed=0, seed=0, flicker=0.3):
    """Yield frames of a moving disc with flickering maps, and the true maps."""
    rng = np.random.default_rng(seed)
    ground = draw_photo(seed + 3, SIZE)[0]
    rows, columns = np.indices(SIZE)
    for index in range(count):
        disc = (rows - 60) ** 2 + (columns - 40 - speed * index) ** 2 < 20**2
        truth = disc.astype(np.float32)
        noise = rng.uniform(0, flicker, (6, 10)).repeat(20, 0).repeat(20, 1).astype(np.float32)
        rgb = np.where(disc[..., None], (230, 60, 40), ground).astype(np.uint8)
        shown = np.clip(truth + np.where(disc, -noise, noise), 0, 1)
        yield Frame(rgb, index, "scene", saliency=shown), truth


def causal(frames):
    return map(SteadyFilter(), frames)


@pytest.mark.parametrize("way", [causal, steadied])
def test_flicker_shrinks(way):
    frames = [frame for frame, _ in scene()]
    smooth = [frame.saliency for frame in way(frames)]
    before = np.mean([np.abs(a.saliency - b.saliency).mean() for a, b in pairwise(frames)])
    after = np.mean([np.abs(a - b).mean() for a, b in pairwise(smooth[3:])])
    assert after < 0.3 * before


@pytest.mark.parametrize("way", [causal, steadied])
@pytest.mark.parametrize("speed", [4, 12])
def test_it_does_not_lag_behind_motion(speed, way):
    frames, truths = zip(*scene(10, speed, flicker=0), strict=True)
    for frame, truth in list(zip(way(frames), truths, strict=True))[1:]:
        trail = (truth == 0) & (frame.saliency > 0.5)
        assert trail.mean() < 0.005
        assert frame.saliency[truth > 0].mean() > 0.95


@pytest.mark.parametrize("way", [causal, steadied])
def test_maps_are_not_carried_over_a_cut(way):
    first = [frame for frame, _ in scene(6)]
    second = [replace(frame, rgb=255 - frame.rgb[::-1]) for frame, _ in scene(1, seed=5)]
    alone = list(way(first))
    *before, after = way([*first, *second])
    assert np.abs(after.saliency - second[0].saliency).mean() < 0.002
    assert np.abs(before[-1].saliency - alone[-1].saliency).mean() < 0.002


@pytest.mark.parametrize("way", [causal, steadied])
def test_a_flash_of_one_frame_is_removed_and_a_soft_edge_kept(way):
    frames = [frame for frame, _ in scene(12, flicker=0)]
    soft = [replace(frame, saliency=cv2.blur(frame.saliency, (25, 25))) for frame in frames]
    flash = soft[8].saliency.copy()
    flash[90:, 150:] = 1
    shown = [*soft[:8], replace(soft[8], saliency=flash), *soft[9:]]
    for before, after in zip(soft, way(shown), strict=True):
        assert np.abs(after.saliency - before.saliency).max() < 0.03


@pytest.mark.parametrize("way", [causal, steadied])
def test_frames_that_share_their_pixels_are_smoothed_as_equal_ones(way):
    frames = [frame for frame, _ in scene(9, speed=3)]
    held = [replace(frame, rgb=frames[at - at % 3].rgb) for at, frame in enumerate(frames)]
    copies = [replace(frame, rgb=frame.rgb.copy()) for frame in held]
    for shared, own in zip(way(held), way(copies), strict=True):
        np.testing.assert_array_equal(shared.saliency, own.saliency)


@pytest.mark.parametrize("count", [0, 1, 17, *rare(7, 16, 41)])
def test_every_frame_is_returned_once_in_order(count):
    frames = (frame for frame, _ in scene(count))
    assert [frame.index for frame in steadied(frames)] == list(range(count))


def test_few_large_frames_are_held(monkeypatch):
    monkeypatch.setattr(steady, "_HELD_BYTES", 3 * 8 * SIZE[0] * SIZE[1])
    taken = []

    def source():
        for frame, _ in scene(12):
            taken.append(frame.index)
            yield frame

    for frame in steadied(source()):
        assert len(taken) - frame.index <= 3


def test_a_frame_of_another_size_restarts_the_filter():
    hold = SteadyFilter()
    for frame, _ in scene(3):
        hold(frame)
    frame = Frame(np.zeros((40, 1000, 3), np.uint8), 3, "x", saliency=np.full((40, 1000), 0.5, "f"))
    assert hold(frame).saliency == pytest.approx(frame.saliency)
    with pytest.raises(ValueError, match="no saliency"):
        hold(replace(frame, saliency=None))


@pytest.mark.slow
def test_steady_applies_to_films_and_cameras(registry):
    predictor = echo_predictor(registry)
    frames = [replace(frame, saliency=None) for frame, _ in scene(4)]
    plain = [f.saliency for f in saliency_stream(predictor, frames)]
    films = [f.saliency for f in saliency_stream(predictor, frames, steady=True)]
    answer = live_predictor(predictor, steady=True)
    live = [answer(frame).saliency for frame in frames]
    whole = [replace(f, saliency=s) for f, s in zip(frames, plain, strict=True)]
    assert np.array(films) == pytest.approx(
        np.array([f.saliency for f in steadied(whole)]), abs=1e-4
    )
    assert np.array(live) == pytest.approx(np.array([f.saliency for f in causal(whole)]), abs=1e-4)
