"""Large pictures get a second pass if the network can blend; others get one pass."""

import math

import numpy as np
import pytest
import torch

from sodcli.benchmark.paper_protocol import PublishedPredictor
from sodcli.errors import UsageError, WeightsError
from sodcli.frame import Frame
from sodcli.models._base import Prediction
from sodcli.registry import HighRes
from sodcli.runtime.backends import Backend
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.high_resolution import input_sizes, large_size
from sodcli.runtime.predictor import Predictor
from sodcli.tables import read_table
from tests.conftest import manifest

TABLE = manifest("inspyrenet/dynamic_resize_table.json")["table"]
SIZES = [
    ([int(side) for side in key.split("x")], value)
    for key, value in TABLE.items()
    if isinstance(value, list)
]


@pytest.mark.golden
@pytest.mark.parametrize(("picture_wh", "expected_wh"), SIZES)
def test_the_large_size_is_the_published_one(picture_wh, expected_wh):
    rule = HighRes(short_side=1280, above=0, multiple=32)
    assert large_size(rule, tuple(picture_wh[::-1])) == tuple(expected_wh[::-1])


RULE = HighRes(short_side=1280, above=512, multiple=32)


@pytest.mark.parametrize("picture_hw", [(512, 4000), (4000, 512), (10, 10), (1, 100_000)])
def test_a_picture_with_one_short_side_gets_one_pass(picture_hw):
    assert large_size(RULE, picture_hw) is None


def test_a_panorama_stays_within_the_pixel_limit():
    height, width = large_size(RULE, (4000, 40_000))
    assert height * width <= 3.1 * 1280**2
    assert width / height == pytest.approx(10, rel=0.05)


def chosen(registry, name="inspyrenet", size=None, trained=None):
    base_hw, large = input_sizes(registry.model(name), size=size, trained=trained)
    return base_hw, large and (large.short_side, large.above)


def test_sizes_come_from_the_registry_the_weights_and_the_user(registry):
    assert chosen(registry) == ((384, 384), (1280, 512))
    assert chosen(registry, size=320) == ((320, 320), None)
    assert chosen(registry, size=800) == ((384, 384), (800, 512))
    assert chosen(registry, trained=384) == ((384, 384), (1280, 512))
    assert chosen(registry, "sdnet") == ((320, 320), None)
    assert chosen(registry, "sdnet", trained=160) == ((160, 160), None)
    assert chosen(registry, "sdnet", size=96, trained=160) == ((96, 96), None)
    assert chosen(registry, "inspyrenet-res2net50") == ((384, 384), None)


def test_weights_of_1024_pixels_need_one_pass(registry):
    base_hw, large = input_sizes(registry.model("inspyrenet"), size=None, trained=1024)
    assert base_hw == (1024, 1024)
    assert large_size(large, (4000, 6000)) is None


def test_the_registry_refuses_sizes_below_1():
    with pytest.raises(UsageError, match="above must be at least 1, not 0"):
        read_table(HighRes, {"short_side": 1280, "above": 0, "multiple": 32})


class Echo(torch.nn.Module):
    """Returns the red channel; ``blend`` returns -9 where the small picture is dark."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        return Prediction(x[:, :1])

    def blended(self, x, x_lr):
        self.seen.append((tuple(x.shape), tuple(x_lr.shape)))
        return torch.where(x_lr.mean() > 0, x[:, :1], torch.full_like(x[:, :1], -9.0))


def frame(height, width, grey):
    return Frame(rgb=np.full((height, width, 3), grey, np.uint8), index=0, name="x")


@pytest.mark.parametrize("kind", [Predictor, PublishedPredictor])
def test_a_batch_of_mixed_sizes_keeps_its_order(registry, kind):
    module = Echo()
    backend = TorchBackend(module, torch.device("cpu"), half=False)
    predictor = Predictor(registry.model("inspyrenet"), module, backend)
    predictor = predictor if kind is Predictor else kind(predictor)
    frames = [frame(700, 601, 255), frame(90, 70, 0), frame(641, 800, 0), frame(90, 71, 255)]
    answers = predictor.logits(frames)
    assert [answer.shape for answer in answers] == [(704, 608), (384, 384), (640, 800), (384, 384)]
    assert [round(float(answer.mean()), 1) for answer in answers] == [2.2, -2.1, -9.0, 2.2]
    small = (1, 3, 384, 384)
    assert module.seen == [
        (2, 3, 384, 384),
        ((1, 3, 704, 608), small),
        ((1, 3, 640, 800), small),
    ]
    found = predictor.predict(frames)
    assert [one.saliency.shape for one in found] == [one.size_hw for one in frames]


def test_a_backend_that_cannot_blend_makes_one_pass(registry):
    class Other(Backend):
        def run(self, batch):
            return batch[:, :1]

    predictor = Predictor(registry.model("inspyrenet"), torch.nn.Identity(), Other())
    assert predictor.logits([frame(900, 900, 255)])[0].shape == (384, 384)


def test_a_blend_that_is_not_finite_is_refused(registry):
    class Broken(Echo):
        def blended(self, x, x_lr):
            return x[:, :1] * math.nan

    backend = TorchBackend(Broken(), torch.device("cpu"), half=False)
    predictor = Predictor(registry.model("inspyrenet"), torch.nn.Identity(), backend)
    with pytest.raises(WeightsError, match="not finite"):
        predictor.logits([frame(900, 900, 255)])
