"""The lite network's encoder is EfficientNet-Lite0 as timm computes it, batch norms folded."""

import re

import cv2
import numpy as np
import pytest
import timm
import torch

import sodcli
from sodcli.errors import WeightsError
from sodcli.frame import Frame
from sodcli.imaging.tensors import half_size, sigmoid, with_context
from sodcli.models import build_model
from sodcli.models.lite import guided_double
from sodcli.models.resample import double
from sodcli.models.restore import initialise
from sodcli.registry import default_registry
from sodcli.runtime.onnx.export import ExportSettings, export_file
from sodcli.runtime.stream import picture_stream, saliency_stream
from sodcli.weights.read import RawWeights

REGISTRY = default_registry()
SPEC = REGISTRY.model("lite")


@pytest.fixture(scope="module")
def theirs():
    """EfficientNet-Lite0 of timm with random batch norm statistics."""
    torch.manual_seed(0)
    net = timm.create_model("tf_efficientnet_lite0").eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return net


def raw(state, tmp_path):
    return RawWeights(tmp_path / "encoder.pth", state, {})


def renamed(state):
    """Rename timm's tensors to the keys of EfficientNet-PyTorch."""
    blocks = sorted({key.split(".")[1:3] and tuple(map(int, key.split(".")[1:3]))
                     for key in state if key.startswith("blocks.")})  # fmt: skip
    first = {"conv_dw": "depthwise", "conv_pw": "project", "bn1": "bn1", "bn2": "bn2"}
    other = {"conv_pw": "expand", "conv_dw": "depthwise", "conv_pwl": "project",
             "bn1": "bn0", "bn2": "bn1", "bn3": "bn2"}  # fmt: skip
    new = {}
    for key, tensor in state.items():
        if found := re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)\.(\w+)", key):
            stage, block, unit, leaf = found.groups()
            name = (other if int(stage) else first)[unit]
            unit = f"_{name}" if name.startswith("bn") else f"_{name}_conv"
            new[f"_blocks.{blocks.index((int(stage), int(block)))}.{unit}.{leaf}"] = tensor
        else:
            place = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head",
                     "bn2": "_bn1", "classifier": "_fc"}  # fmt: skip
            unit, leaf = key.split(".")
            new[f"{place[unit]}.{leaf}"] = tensor
    return new


@pytest.mark.parametrize("naming", [dict, renamed])
def test_the_encoder_equals_timm(theirs, naming, tmp_path):
    net = build_model(SPEC).eval()
    count = initialise(net, SPEC, raw(naming(theirs.state_dict()), tmp_path), REGISTRY)
    assert count == len(net.encoder.state_dict())
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    reference.load_state_dict(theirs.state_dict(), strict=False)
    x = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        for ours, expected in zip(net.encoder(x), reference(x), strict=True):
            scale = float(expected.abs().max())
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 * scale)


def test_weights_of_another_network_are_refused(theirs, tmp_path):
    whole, net = theirs.state_dict(), build_model(SPEC)
    for key, value in (
        ("blocks.3.1.conv_dw.weight", None), ("bn1.running_var", None), ("bn1.bias", torch.ones(3)),
    ):  # fmt: skip
        state = {k: v for k, v in {**whole, key: value}.items() if v is not None}
        with pytest.raises(WeightsError, match=r"does not fit lite"):
            initialise(net, SPEC, raw(state, tmp_path), REGISTRY)


def test_padding_changes_nothing_where_the_sides_are_multiples_of_32():
    net = build_model(SPEC).eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        finest = net.decoder(net.encoder(x))[0]
        torch.testing.assert_close(net(x).logits, guided_double(finest, x))


def test_guided_logits_equal_least_squares_in_each_window():
    """Ridge regression of the logits on the grey values, window by window, in float64."""
    rng = np.random.default_rng(0)
    picture = rng.uniform(-1, 1, (3, 16, 20)).astype(np.float32)
    logits = rng.uniform(-4, 4, (8, 10)).astype(np.float32)
    grey = picture.mean(0, dtype=np.float64)
    small = grey.reshape(8, 2, 10, 2).mean((1, 3))
    lines = np.zeros((2, 8, 10))
    for row, column in np.ndindex(8, 10):
        window = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        values, wanted = small[window].ravel(), logits[window].ravel()
        ridge = np.sqrt(len(values) * 1.2e-3)
        design = np.vstack([np.column_stack([values, np.ones(len(values))]), [ridge, 0]])
        lines[:, row, column] = np.linalg.lstsq(design, [*wanted, 0], rcond=None)[0]
    means = [
        [
            line[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].mean()
            for row, column in np.ndindex(8, 10)
        ]
        for line in lines
    ]
    slope, offset = (cv2.resize(np.reshape(mean, (8, 10)), (20, 16)) for mean in means)
    found = guided_double(torch.from_numpy(logits)[None, None], torch.from_numpy(picture)[None])
    np.testing.assert_allclose(found[0, 0].numpy(), slope * grey + offset, atol=2e-4)


def test_a_soft_edge_moves_to_the_edge_of_the_picture():
    picture = torch.full((1, 3, 32, 32), -0.5)
    picture[..., 18:] = 0.5
    logits = torch.linspace(-4, 4, 16).expand(1, 1, 16, 16)
    plain = double(logits)[0, 0, 16]
    found = guided_double(logits, picture)[0, 0, 16]
    assert float(found[18] - found[17]) > 2.5 * float(plain[18] - plain[17])
    flat = guided_double(logits, torch.zeros(1, 3, 32, 32))[0, 0, 16]
    torch.testing.assert_close(flat[8:24], plain[8:24], rtol=0, atol=0.05)


def test_photos_are_seen_a_second_time_at_half_size_and_frames_of_films_are_not():
    predictor = sodcli.load("lite", device="cpu", size=64)
    rgb = np.random.default_rng(0).integers(0, 256, (80, 96, 3), dtype=np.uint8)
    frame = Frame(rgb, 0, "noise")
    x = predictor.prepare(frame)[None]
    once = predictor.backend.run(x)[0, 0]
    half = predictor.backend.run(half_size(x, 32))[0, 0]
    assert np.array_equal(predictor.logits([frame], still=False)[0], once)
    want = with_context(once, half, SPEC.context)
    assert np.array_equal(predictor.logits([frame])[0], want)
    assert np.abs(want - once).max() > 0.1
    (film,) = saliency_stream(predictor, [frame])
    (photo,) = predictor.predict([frame])
    assert np.array_equal(film.saliency, predictor.predict([frame], still=False)[0].saliency)
    assert not np.array_equal(film.saliency, photo.saliency)
    for still in (True, False):
        (small,) = picture_stream(predictor, [frame], 1, small=True, still=still)
        assert np.array_equal(small.saliency, sigmoid(predictor.logits([frame], still=still)[0]))


def test_a_graph_of_one_size_sees_photos_once(tmp_path):
    settings = ExportSettings("lite", tmp_path / "x.onnx", size=64, static=True)
    export_file(settings, REGISTRY)
    predictor = sodcli.load(weights=settings.target, device="cpu")
    frame = Frame(np.full((80, 96, 3), 90, np.uint8), 0, "grey")
    assert predictor.spec.context == 0
    once = predictor.backend.run(predictor.prepare(frame)[None])[0, 0]
    assert np.array_equal(predictor.logits([frame])[0], once)
