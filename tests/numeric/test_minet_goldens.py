"""MINet equals the published network with either backbone, per unit and as a whole."""

import numpy as np
import pytest
import torch

import sodcli
from sodcli.errors import UsageError
from sodcli.models import build_model
from sodcli.models.minet import SelfInteract
from sodcli.registry import default_registry
from sodcli.weights.layouts import layout
from tests.conftest import DATA, manifest, rule_input, rule_weights

pytestmark = pytest.mark.golden
NAMES = {"resnet50": "minet", "vgg16": "minet-vgg16"}
ATOL = 2e-4
FILES = {"resnet50": "res50", "vgg16": "vgg16"}
# The published ResNet also accepts sides of 32 k - 1, with an output one pixel larger.
SIZES = {"resnet50": [(320, 320), (352, 288), (287, 351)], "vgg16": [(320, 320), (336, 304)]}


def spec(backbone):
    return default_registry().model(NAMES[backbone])


@pytest.fixture(scope="module", params=FILES)
def backbone(request):
    return request.param


@pytest.fixture(scope="module")
def weights(backbone):
    return rule_weights(manifest(f"minet/manifest_{FILES[backbone]}.json"))


@pytest.fixture(scope="module")
def net(backbone, weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "state_final.pth"
    torch.save(weights, path)
    yield sodcli.load(NAMES[backbone], weights=path, device="cpu", backend="torch").module
    path.unlink()


def stored(backbone, size_hw):
    return np.load(DATA / "minet" / f"{FILES[backbone]}_{size_hw[0]}x{size_hw[1]}.npz")


def check(found, expected, name):
    np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL, err_msg=name)


def answered(net, x):
    """Return the logits and the outputs of all aggregations and interactions."""
    seen = {}
    units = {f"aim{i}": unit for i, unit in enumerate(net.aims)}
    units |= {f"sim{stride}": unit for stride, unit in net.decoder.sims.items()}
    hooks = [
        unit.register_forward_hook(lambda _, args, out, name=name: seen.update({name: out[0]}))
        for name, unit in units.items()
    ]
    with torch.inference_mode():
        logits = net(x).logits
    for hook in hooks:
        hook.remove()
    return logits, seen


def thinned(name, feature):
    channels = len(feature) // 4 if name.startswith("aim") else 16
    step = max(1, feature.shape[1] // 10)
    return feature[::channels, ::step, ::step]


@pytest.mark.slow
def test_outputs_equal_the_published_ones(net, backbone):
    for size_hw in SIZES[backbone]:
        logits, seen = answered(net, rule_input((1, 3, *size_hw)))
        assert logits.shape == (1, 1, *size_hw)
        y, file = logits[0, 0], stored(backbone, size_hw)
        check(y[::4, ::4], file["logits"], size_hw)
        check(y[:32, :32], file["logits_tl"], size_hw)
        beyond = file["out_shape"][-1] - size_hw[1]
        corner = file["logits_br"][: 32 - beyond, : 32 - beyond]
        check(y[-len(corner) :, -len(corner) :], corner, size_hw)
        names = [name for name in file if name[:3] in ("aim", "sim")]
        assert len(names) == (9 if size_hw == (320, 320) else 0)
        for name in names:
            check(thinned(name, seen[name]), file[name], name)


@pytest.mark.slow
def test_the_published_keys_are_restored(backbone, weights):
    names = layout("minet")
    back = names.to_published(names.to_ours(weights).state)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], value) for key, value in weights.items())


@pytest.mark.slow
def test_an_imagenet_backbone_is_loaded(net):
    ours = {key for key in net.state_dict() if key.startswith("backbone.")}
    bare = {
        key.removeprefix("backbone.").replace("features_", "features."): torch.zeros(1)
        for key in ours
    }
    classifier = {"fc.weight": torch.zeros(1), "classifier.0.bias": torch.zeros(1)}
    assert layout("minet").to_ours(bare | classifier).state.keys() == ours


def test_the_keys_of_another_model_are_refused():
    assert layout("minet").to_ours({"decoder.conv1.conv.weight": torch.zeros(1)}) is None


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [(32, 32), (33, 130)])
def test_logits_of_a_padded_picture_have_its_size(net, size_hw):
    x = rule_input((1, 3, *size_hw))
    with torch.inference_mode():
        assert net(x).logits.shape == (1, 1, *size_hw)


@pytest.fixture
def sim():
    entries = manifest("minet/manifest_sim.json")
    published = {f"sim1.{key}": value for key, value in rule_weights(entries).items()}
    renamed = layout("minet").to_ours(published)
    prefix = "decoder.sims.1."
    state = {key.removeprefix(prefix): value for key, value in renamed.state.items()}

    def build(*, residual):
        module = SelfInteract((64, 32), residual=residual)
        module.load_state_dict(state)
        return module.eval()

    return build


def test_interaction_at_odd_sizes(sim):
    x = rule_input((1, 64, 11, 9))
    with torch.inference_mode():
        found = sim(residual=True)(x)
        before = sim(residual=False)(x)
    check(found[0, ::4], np.load(DATA / "minet" / "sim_11x9.npz")["out"], "sim")
    assert torch.equal(before + x, found)


@pytest.mark.slow
def test_the_residual_is_an_argument_of_build():
    args = {**spec("resnet50").args, "sim_residual": False}
    with torch.device("meta"):
        net = build_model(spec("resnet50"), args)
    assert not any(sim.residual for sim in net.decoder.sims.values())


def test_an_unknown_backbone_is_refused():
    with pytest.raises(UsageError, match=r"resnet18.*known: resnet50, vgg16"):
        build_model(spec("resnet50"), {"backbone": "resnet18"})
