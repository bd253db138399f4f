"""The lite network's encoder is EfficientNet-Lite0 as timm computes it, batch norms folded."""

import re

import pytest
import timm
import torch

from sodcli.errors import WeightsError
from sodcli.models import build_model
from sodcli.models.restore import initialise
from sodcli.registry import default_registry
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
        whole = torch.nn.functional.interpolate(finest, (64, 96), mode="bilinear")
        torch.testing.assert_close(net(x).logits, whole)
