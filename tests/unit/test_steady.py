"""The temporal filter: less flicker, no lag behind motion, nothing carried over a cut."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sodcli.frame import Frame
from sodcli.runtime.steady import SteadyFilter, steadied
from sodcli.runtime.stream import live_predictor, saliency_stream
from tests.conftest import draw_photo
from tests.film_kit import echo_predictor

SIZE = (120, 200)


def scene(count=12, speed=0, seed=0, flicker=0.3):
    """Yield frames with a disc that moves, flickering maps, and what the maps should be."""
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


def test_flicker_shrinks():
    frames = [frame for frame, _ in scene()]
    steady = [frame.saliency for frame in steadied(frames)]
    before = np.mean([np.abs(a.saliency - b.saliency).mean() for a, b in pairwise(frames)])
    after = np.mean([np.abs(a - b).mean() for a, b in pairwise(steady[3:])])
    assert after < 0.3 * before
    assert steady[0] == pytest.approx(frames[0].saliency)


@pytest.mark.parametrize("speed", [4, 12])
def test_it_does_not_lag_behind_motion(speed):
    frames, truths = zip(*scene(10, speed, flicker=0), strict=True)
    for frame, truth in list(zip(steadied(frames), truths, strict=True))[1:]:
        trail = (truth == 0) & (frame.saliency > 0.5)
        assert trail.mean() < 0.005
        assert frame.saliency[truth > 0].mean() > 0.95


def test_nothing_is_carried_over_a_cut():
    first = [frame for frame, _ in scene(6)]
    second = [replace(frame, rgb=255 - frame.rgb[::-1]) for frame, _ in scene(1, seed=5)]
    *_, after = steadied([*first, *second])
    assert np.abs(after.saliency - second[0].saliency).mean() < 0.002


def test_a_frame_of_another_size_begins_anew():
    hold = SteadyFilter()
    for frame, _ in scene(3):
        hold(frame)
    frame = Frame(np.zeros((40, 1000, 3), np.uint8), 3, "x", saliency=np.full((40, 1000), 0.5, "f"))
    assert hold(frame).saliency == pytest.approx(frame.saliency)
    with pytest.raises(ValueError, match="no saliency"):
        hold(replace(frame, saliency=None))


def test_films_and_cameras_are_steadied_where_it_is_asked_for(registry):
    predictor = echo_predictor(registry)
    frames = [replace(frame, saliency=None) for frame, _ in scene(4)]
    plain = [f.saliency for f in saliency_stream(predictor, frames)]
    steady = [f.saliency for f in saliency_stream(predictor, frames, steady=True)]
    answer = live_predictor(predictor, steady=True)
    live = [answer(frame).saliency for frame in frames]
    assert np.array(live) == pytest.approx(np.array(steady), abs=1e-4)
    assert np.abs(plain[0] - steady[0]).max() < 1e-4
