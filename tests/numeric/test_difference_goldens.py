"""SDNet, SDNet-A, STDNet and STDNet-A equal the published networks, before and after folding."""

import numpy as np
import pytest
import torch

import sodcli
from sodcli.models.pdc import is_folded, reparameterise, spelled_out
from sodcli.models.restore import restore
from sodcli.weights.layouts import layout
from sodcli.weights.read import read_weights
from tests.conftest import DATA, manifest, rule_input, rule_weights

pytestmark = pytest.mark.golden
STORED = {"sdnet": "sdnet", "sdnet-a": "sdneta", "stdnet": "stdnet", "stdnet-a": "stdneta"}
CASES = [
    *[(model, size_hw) for model in ("sdnet", "sdnet-a") for size_hw in ((96, 128), (101, 75))],
    *[(model, size_hw) for model in ("stdnet", "stdnet-a") for size_hw in ((64, 96), (50, 70))],
]


def published_file(tmp_path, model, form):
    """Write a file in the published layout with generated weights, in either form."""
    path = tmp_path / f"{model}.pth"
    entries = manifest(f"stdnet/manifest_{STORED[model]}.json")
    torch.save(rule_weights(entries["training"]), path)
    if form == "baseline":
        net = sodcli.load(model, weights=path, device="cpu", backend="torch").module
        folded = layout(net_layout(model)).to_published(net.state_dict())
        shapes = {key: list(value.shape) for key, value in folded.items()}
        assert shapes == {key: shape for key, shape, _ in entries["baseline"]}
        torch.save(folded, path)
    return path


def net_layout(model):
    return "stdnet" if model.startswith("stdnet") else "sdnet"


def stored_numbers(model, size_hw, form):
    kind = "video8" if model.startswith("stdnet") else "img"
    name = f"{STORED[model]}_{kind}_{size_hw[0]}x{size_hw[1]}_seed0_{form}.npz"
    return np.load(DATA / "stdnet" / name)


def answers(net, model, size_hw):
    """Return features, logits before the last resize, and the saliency, like the goldens."""
    if not model.startswith("stdnet"):
        x = rule_input((1, 3, *size_hw))
        features = net.backbone(x)
        return features, net.decoder(features), net(x).logits.sigmoid()
    clip = rule_input((1, 24, *size_hw)).reshape(1, 8, 3, *size_hw)
    features = net.backbone(clip[0])
    return features, net.decoder(net.decoder.project(features), 8, 8), net(clip).logits.sigmoid()[0]


@pytest.mark.parametrize(("model", "size_hw"), CASES)
@pytest.mark.parametrize("form", ["training", "baseline"])
def test_outputs_equal_the_published_ones(tmp_path, model, form, size_hw):
    path = published_file(tmp_path, model, form)
    net = sodcli.load(model, weights=path, backend="torch", device="cpu", reparam=False).module
    assert is_folded(net) == (form == "baseline")
    stored = stored_numbers(model, size_hw, form)
    with torch.inference_mode():
        features, logits, saliency = answers(net, model, size_hw)
    np.testing.assert_allclose(logits, stored[f"{form}_logit"], atol=1e-5)
    np.testing.assert_allclose(saliency, stored[f"{form}_out"], atol=1e-5)
    probed = 3 if model.startswith("stdnet") else 0
    for stage, feature in enumerate(features, start=1):
        probe = stored[f"{form}_x{stage}_probe"].squeeze()
        assert list(feature.shape) == stored[f"{form}_x{stage}_shape"].tolist()
        np.testing.assert_allclose(feature[probed, :6, :5, :5], probe, atol=1e-5)


@pytest.mark.parametrize("model", STORED)
def test_folded_kernels_equal_the_published_ones(tmp_path, registry, model):
    spec = registry.model(model)
    raw = read_weights(published_file(tmp_path, model, "training"))
    folded = reparameterise(restore(spec, raw, registry))
    ours = layout(spec.layout).to_published(folded.state_dict())
    stored = manifest(f"stdnet/dcr_checksums_{STORED[model]}_seed0.json")["tensors"]
    assert ours.keys() == stored.keys()
    for key, (total, magnitude, first, last) in stored.items():
        value = ours[key].double()
        found = [value.sum(), value.abs().sum(), value.flatten()[0], value.flatten()[-1]]
        np.testing.assert_allclose(
            found, [total, magnitude, first, last], rtol=2e-5, atol=2e-5, err_msg=key
        )


@pytest.mark.parametrize("model", STORED)
def test_folding_is_exact_in_float64_borders_included(tmp_path, registry, model):
    spec = registry.model(model)
    raw = read_weights(published_file(tmp_path, model, "training"))
    net = restore(spec, raw, registry).double()
    shape = (1, 8, 3, 50, 70) if spec.clip_len > 1 else (2, 3, 101, 75)
    x = rule_input(shape).double()
    with torch.inference_mode():
        difference = (spelled_out(net)(x).logits - reparameterise(net)(x).logits).abs()
    assert difference.max() < 1e-12
