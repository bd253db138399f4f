"""SDNet and SDNet-A equal the published networks, before and after folding."""

import numpy as np
import pytest
import torch

import sodcli
from sodcli.models.pdc import is_folded, reparameterise
from sodcli.models.restore import restore
from sodcli.weights.layouts import layout
from sodcli.weights.read import read_weights
from tests.conftest import DATA, manifest, rule_input, rule_weights

pytestmark = pytest.mark.golden
MODELS = {"sdnet": "sdnet", "sdnet-a": "sdneta"}
SIZES = [(96, 128), (101, 75)]


def published_file(tmp_path, model, form):
    path = tmp_path / f"{model}.pth"
    entries = manifest(f"stdnet/manifest_{MODELS[model]}.json")
    weights = rule_weights(entries["training"])
    if form == "baseline":
        torch.save(weights, path)
        net = sodcli.load(model, weights=path, device="cpu").module
        weights = layout("sdnet").to_published(net.state_dict())
        assert [[k, list(v.shape)] for k, v in weights.items()] == [
            [k, shape] for k, shape, _ in sorted(entries["baseline"], key=_order(weights))
        ]
    torch.save(weights, path)
    return path


def _order(weights):
    places = {key: place for place, key in enumerate(weights)}
    return lambda entry: places[entry[0]]


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("form", ["training", "baseline"])
@pytest.mark.parametrize("model", MODELS)
def test_outputs_equal_the_published_ones(tmp_path, model, form, size_hw):
    path = published_file(tmp_path, model, form)
    net = sodcli.load(model, weights=path, device="cpu", reparam=False).module
    assert is_folded(net) == (form == "baseline")
    name = f"{MODELS[model]}_img_{size_hw[0]}x{size_hw[1]}_seed0_{form}.npz"
    stored = np.load(DATA / "stdnet" / name)
    x = rule_input((1, 3, *size_hw))
    with torch.inference_mode():
        features = net.backbone(x)
        before_resize = net.decoder(features)
        probability = net(x).logits.sigmoid()
    np.testing.assert_allclose(before_resize, stored[f"{form}_logit"], atol=1e-5)
    np.testing.assert_allclose(probability, stored[f"{form}_out"], atol=1e-5)
    for stage, feature in enumerate(features, start=1):
        probe = stored[f"{form}_x{stage}_probe"]
        assert list(feature.shape) == stored[f"{form}_x{stage}_shape"].tolist()
        np.testing.assert_allclose(feature[0, :6, :5, :5], probe.squeeze(), atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_folded_kernels_equal_the_published_ones(tmp_path, registry, model):
    spec = registry.model(model)
    raw = read_weights(published_file(tmp_path, model, "training"))
    folded = reparameterise(restore(spec, raw, registry))
    ours = layout("sdnet").to_published(folded.state_dict())
    stored = manifest(f"stdnet/dcr_checksums_{MODELS[model]}_seed0.json")["tensors"]
    assert ours.keys() == stored.keys()
    for key, (total, magnitude, first, last) in stored.items():
        value = ours[key].double()
        found = [value.sum(), value.abs().sum(), value.flatten()[0], value.flatten()[-1]]
        np.testing.assert_allclose(
            found, [total, magnitude, first, last], rtol=2e-5, atol=2e-5, err_msg=key
        )


@pytest.mark.parametrize("model", MODELS)
def test_folding_is_exact_in_float64_borders_included(tmp_path, registry, model):
    spec = registry.model(model)
    raw = read_weights(published_file(tmp_path, model, "training"))
    net = restore(spec, raw, registry).double()
    x = rule_input((2, 3, 101, 75)).double()
    with torch.inference_mode():
        difference = (net(x).logits - reparameterise(net)(x).logits).abs()
    assert difference[..., 16:-16, 16:-16].max() < 1e-12
    assert difference.max() < 1e-12
