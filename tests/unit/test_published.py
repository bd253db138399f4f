"""The published protocols, against PyTorch and Pillow functions of the published programs."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from sodcli.benchmark.paper_protocol import PublishedPredictor, published_map
from sodcli.errors import RegistryError
from sodcli.frame import Frame
from sodcli.imaging.tensors import to_saliency
from sodcli.registry import Registry
from sodcli.runtime.backends import Backend
from sodcli.runtime.predictor import Predictor
from tests.draw_kit import draw_photo


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 2, (24, 40)).astype(np.float32)


def test_a_plain_protocol_is_sigmoid_and_bilinear(registry, logits):
    spec = registry.model("sdnet")
    torched = F.interpolate(
        torch.from_numpy(logits)[None, None].sigmoid(), (31, 57), mode="bilinear"
    )
    found = published_map(logits, (31, 57), spec)
    np.testing.assert_allclose(found, torched[0, 0], atol=1e-5)
    np.testing.assert_array_equal(found, to_saliency(logits, (31, 57)))


def test_inspyrenet_normalises_maps_and_aligns_corners(registry, logits):
    found = published_map(logits - 5, (31, 57), registry.model("inspyrenet"))
    p = torch.from_numpy(logits - 5).sigmoid()
    p = (p - p.min()) / (p.max() - p.min() + 1e-8)
    whole = F.interpolate(p[None, None], (31, 57), mode="bilinear", align_corners=True)
    np.testing.assert_allclose(found, whole[0, 0], atol=1e-5)
    np.testing.assert_allclose(found[[0, -1], [0, -1]], p.numpy()[[0, -1], [0, -1]], atol=1e-6)


def test_normalising_a_constant_map_gives_black(registry):
    even = np.full((8, 8), 3, np.float32)
    assert not published_map(even, (5, 5), registry.model("inspyrenet")).any()


def test_minet_rounds_to_grey_levels_before_enlarging_the_map(registry, logits):
    grey = (torch.from_numpy(logits).sigmoid().numpy() * 255).astype(np.uint8)
    wanted = np.asarray(Image.fromarray(grey).resize((57, 31), Image.Resampling.NEAREST))
    found = published_map(logits, (31, 57), registry.model("minet"))
    np.testing.assert_array_equal((found * 255).astype(np.uint8), wanted)


class Echo(Backend):
    """A backend that records its inputs and finds nothing."""

    def run(self, batch):
        self.seen = batch
        return np.zeros((*batch.shape[:-3], 1, *batch.shape[-2:]), np.float32)


@pytest.mark.parametrize("name", ["sdnet", "minet"])
def test_pictures_are_scaled_down_as_published(registry, name):
    rgb, _ = draw_photo(3, (200, 330))
    spec, echo = registry.model(name), Echo()
    inner = Predictor(spec, torch.nn.Identity(), echo, size=64)
    (frame,) = PublishedPredictor(inner).predict([Frame(rgb, 0, "x")])
    assert frame.saliency.shape == (200, 330)
    if spec.resize == "pillow":
        small = np.asarray(Image.fromarray(rgb).resize((64, 64), Image.Resampling.BILINEAR)) / 255
    else:
        x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        small = F.interpolate(x, (64, 64), mode="bilinear")[0].permute(1, 2, 0).numpy()
    shown = echo.seen[0].transpose(1, 2, 0) * np.array(spec.std) + np.array(spec.mean)
    np.testing.assert_allclose(shown, small, atol=2e-3)


def test_a_clip_model_takes_a_picture_as_a_still_film(registry):
    spec, echo = registry.model("stdnet"), Echo()
    inner = Predictor(spec, torch.nn.Identity(), echo, size=32)
    frames = [Frame(draw_photo(seed)[0], seed, "x") for seed in range(2)]
    maps = PublishedPredictor(inner).predict(frames)
    assert [frame.saliency.mean() for frame in maps] == [0.5, 0.5]
    assert echo.seen.shape == (2, 1, 3, 32, 32)


@pytest.mark.parametrize("key", ["resize", "restore", "rounding"])
def test_an_unknown_choice_is_refused(tmp_path, key):
    path = tmp_path / "models.toml"
    path.write_text(
        f"[models.toy]\narch = 'sdnet'\ninput_hw = [64, 64]\nlayout = 'sdnet'\n"
        f"license = 'MIT'\npaper = 'none'\n{key} = 'sideways'\n"
    )
    with pytest.raises(RegistryError, match=f"{key} must be one of"):
        Registry.read(path)
