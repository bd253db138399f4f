"""InSPyReNet equals the published network, per unit and as a whole, with either backbone."""

import copy

import numpy as np
import pytest
import torch

import sodcli
from sodcli.models.inspyrenet_decoder import (
    AxialAttention,
    Branch,
    Context,
    ContextAttention,
    Decoder,
    SelfAttention,
)
from sodcli.models.resample import resize
from sodcli.runtime.high_resolution import large_size
from sodcli.training.losses import pyramid
from sodcli.weights.layouts import layout
from tests.conftest import DATA, manifest, rule_input, rule_weights

pytestmark = pytest.mark.golden
NAMES = {"swinb": "inspyrenet", "res2net50": "inspyrenet-res2net50"}
ATOL = {"swinb": 2e-4, "res2net50": 2e-3}
HEAD = "attention{n}.conv_{what}.0.bn.running_var"


def stored(name):
    return np.load(DATA / "inspyrenet" / f"{name}.npz")


def published(backbone):
    """Return generated weights, scaled down: sums over all pixels would overflow."""
    entries = manifest(f"inspyrenet/manifest_{backbone}.json")
    weights = rule_weights([entry for entry in entries if entry[3] == "rule"])
    for n in range(3):
        for what in ("key", "value"):
            weights[HEAD.format(n=n, what=what)] *= np.float32(((384 >> n) ** 2) ** 2)
    return weights


@pytest.fixture(scope="module", params=ATOL)
def backbone(request):
    return request.param


@pytest.fixture(scope="module")
def weights(backbone):
    return published(backbone)


@pytest.fixture(scope="module")
def loaded(backbone, weights, tmp_path_factory):
    """The network that users get for the published file, folded."""
    path = tmp_path_factory.mktemp("weights") / "latest.pth"
    torch.save(weights, path)
    yield path, sodcli.load(NAMES[backbone], weights=path, device="cpu", backend="torch")
    path.unlink()


@pytest.fixture(scope="module")
def folded(loaded):
    return loaded[1].module


@pytest.fixture(scope="module")
def net(backbone, loaded):
    """The training form, in row-major memory like the goldens.

    Gradients of the thresholds on batch statistics are sums that nearly cancel: in channels-last
    memory one of them differs by 1.5 % through rounding.
    """
    module = sodcli.load(
        NAMES[backbone], weights=loaded[0], backend="torch", device="cpu", reparam=False
    ).module
    return module.to(memory_format=torch.contiguous_format)


def assert_levels(levels, file, atol=None, rtol=None):
    """Compare a pyramid with a ``_384`` file, ``atol`` absolute or ``rtol`` of each maximum."""
    d3, d2, d1, d0 = (d[0, 0] for d in levels.saliency)
    p2, p1, p0 = (p[0, 0] for p in levels.laplacian)
    thinned = {"d3": d3, "d2": d2, "d1": d1[::2, ::2], "d0": d0[::4, ::4]}
    thinned |= {"p2": p2, "p1": p1[::2, ::2], "p0": p0[::4, ::4]}
    corners = {"d0_tl": d0[:32, :32], "p0_tl": p0[:32, :32]}
    corners |= {"d0_br": d0[-32:, -32:], "d1_br": d1[-32:, -32:]}
    for key, found in (thinned | corners).items():
        limit = atol or rtol[key in ("d2", "p2")] * np.abs(file[key]).max()
        np.testing.assert_allclose(found, file[key], rtol=0, atol=limit, err_msg=key)


def stretched(logits):
    """Apply the paper's last step, min-max over the whole batch; it is not part of the network."""
    saliency = logits.sigmoid()
    low, high = saliency.min(), saliency.max()
    return (saliency - low) / (high - low + 1e-8)


@pytest.mark.slow
def test_levels_and_features_equal_the_published_ones(folded, backbone):
    net, seen = folded, {}

    def keep(name, pick):
        return lambda module, args, out: seen.__setitem__(name, pick(out))

    hooks = [net.backbone.register_forward_hook(keep("backbone", list))]
    hooks.append(net.decoder.register_forward_hook(keep("decoder_f3", lambda out: out[0])))
    for i, module in enumerate(net.contexts, start=1):
        hooks.append(module.register_forward_hook(keep(f"context{i}", lambda out: out)))
    asked = {}
    for module in net.attentions:
        hooks.append(module.register_forward_hook(lambda m, args, out: asked.update({m: args})))
    with torch.inference_mode():
        levels = net.pyramid(rule_input((1, 3, 384, 384)))
        for i, module in enumerate(net.attentions):  # the features of the last one are not returned
            seen[f"attention{i}_x"] = module.forward(*asked[module])[0]
    for hook in hooks:
        hook.remove()

    file = stored(f"{backbone}_384")
    assert_levels(levels, file, atol=ATOL[backbone])
    saliency = stretched(levels.saliency[-1])[0, 0, ::4, ::4]
    np.testing.assert_allclose(saliency, file["pred"], atol=ATOL[backbone])

    feats = stored(f"{backbone}_384_feats")
    seen |= {f"backbone{i}": feature for i, feature in enumerate(seen.pop("backbone"))}
    for name, feature in seen.items():
        found = feature[0, :: feature.shape[1] // 8]
        step = 4 if name == "decoder_f3" else max(1, feature.shape[2] // 12)
        expected = feats[name]
        found = found[:, ::step, ::step].numpy()
        assert found.shape == expected.shape, name
        np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL[backbone], err_msg=name)
        if name.startswith("backbone"):
            assert list(feature.shape) == feats[f"{name}_shape"].tolist()


@pytest.mark.slow
def test_the_published_keys_are_restored(net, backbone, weights):
    entries = manifest(f"inspyrenet/manifest_{backbone}.json")
    back = layout("inspyrenet").to_published(net.state_dict())
    assert {key: list(value.shape) for key, value in back.items()} == {e[0]: e[1] for e in entries}
    for key, value in weights.items():
        assert torch.equal(back[key], value), key
    if backbone == "swinb":
        index = back["backbone.layers.2.blocks.7.attn.relative_position_index"]
        assert [index[0, 0], index[0, 143], index[143, 0], index[0, 1]] == [264, 0, 528, 263]


@pytest.mark.slow
def test_an_imagenet_backbone_is_loaded(backbone, weights):
    bare = {
        key.removeprefix("backbone."): value
        for key, value in weights.items()
        if key.startswith("backbone.") and not key.startswith("backbone.norm")
    }
    extra = dict.fromkeys(
        ("norm.weight", "head.bias", "fc.bias", "layers.0.blocks.1.attn_mask"), torch.zeros(1)
    )
    ours = layout("inspyrenet").to_ours(weights).state
    expected = {k for k in ours if k.startswith("backbone.") and not k.startswith("backbone.norms")}
    assert layout("inspyrenet").to_ours(bare | extra).state.keys() == expected


def test_the_keys_of_another_model_are_refused():
    assert layout("inspyrenet").to_ours({"div_2.0.weight": torch.zeros(1)}) is None


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["swinb"], indirect=True)
def test_blended_pyramid_equals_the_published_one(loaded):
    predictor = loaded[1]
    assert large_size(predictor.large, (544, 640)) == (544, 640)
    x = rule_input((1, 3, 544, 640))
    with torch.inference_mode():
        logits = predictor.module.blended(x, resize(x, (384, 384)))
    file = stored("swinb_hr_544x640")
    np.testing.assert_allclose(logits[0, 0, ::8, ::8], file["d0"], atol=ATOL["swinb"])
    np.testing.assert_allclose(logits[0, 0, :32, :32], file["d0_tl"], atol=ATOL["swinb"])
    np.testing.assert_allclose(logits[0, 0, -32:, -32:], file["d0_br"], atol=ATOL["swinb"])
    np.testing.assert_allclose(stretched(logits)[0, 0, ::8, ::8], file["pred"], atol=ATOL["swinb"])


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["swinb"], indirect=True)
def test_a_picture_up_to_512_pixels_gets_one_pass(loaded):
    predictor = loaded[1]
    assert large_size(predictor.large, (512, 640)) is None
    small = resize(rule_input((1, 3, 512, 640)), predictor.size_hw)
    with torch.inference_mode():
        levels = predictor.module.pyramid(small)
    assert_levels(levels, stored("swinb_hr_512x640"), atol=ATOL["swinb"])


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["res2net50"], indirect=True)
def test_blended_logits_have_the_size_of_the_picture(folded):
    x = torch.randn(1, 3, 101, 75)
    with torch.inference_mode():
        assert folded.blended(x, resize(x, (64, 64))).shape == (1, 1, 101, 75)


def disc(height, width):
    rows, columns = np.indices((height, width))
    inside = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (min(height, width) / 4) ** 2
    return torch.from_numpy(inside.astype(np.float32))[None, None]


def check_step(net, batch, file, rtol):
    """Compare the loss and the gradients of one step in training mode with the stored ones."""
    dtype = next(net.parameters()).dtype
    inside = disc(128, 160)
    truth = torch.cat([inside, 1 - inside])[:batch].to(dtype)
    loss = pyramid(net(rule_input((batch, 3, 128, 160)).to(dtype)), truth)
    loss.backward()
    gradients = {key: parameter.grad for key, parameter in net.named_parameters()}
    by_key = layout("inspyrenet").to_published(gradients)
    norms = {key: by_key[key].norm().item() for key in file["grad_l2"]}
    assert loss.item() == pytest.approx(file["loss"], rel=rtol)
    assert norms == pytest.approx(file["grad_l2"], rel=rtol)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["swinb"], indirect=True)
def test_a_step_on_running_statistics_of_swinb(net):
    stepped = copy.deepcopy(net)
    stepped.training = True  # side outputs; the norms inside stay in eval mode
    check_step(stepped, 1, manifest("inspyrenet/swinb_trainloss.json"), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["res2net50"], indirect=True)
@pytest.mark.parametrize(("variant", "rtol"), [("eval_bn_tamed", 1e-4), ("train_bn", 5e-3)])
def test_a_step_of_res2net50(net, variant, rtol):
    """On batch statistics in float64; in float32 the gradient of one threshold is 5 % noise."""
    stepped = copy.deepcopy(net)
    if variant == "train_bn":
        stepped.double()
    stepped.decoder.conv5.conv.weight.data *= 0.1  # part of the stored rule
    stepped.train(variant == "train_bn").training = True
    file = manifest("inspyrenet/res2net50_trainloss.json")[variant]
    check_step(stepped, 2, file, rtol)


@pytest.mark.slow
def test_untamed_levels_equal_the_published_ones_relatively(net, backbone):
    keys = [HEAD.format(n=n, what=what) for n in range(3) for what in ("key", "value")]
    plain = layout("inspyrenet").to_ours(rule_weights([[key, [64]] for key in keys])).state
    tamed = {key: net.state_dict()[key].clone() for key in plain}
    assert not net.load_state_dict(plain, strict=False).unexpected_keys
    with torch.inference_mode():
        levels = net.pyramid(rule_input((1, 3, 384, 384)))
    net.load_state_dict(tamed, strict=False)
    assert_levels(levels, stored(f"{backbone}_384_raw"), rtol=(1e-4, 1e-2))


UNITS = manifest("inspyrenet/manifest_units.json")


def unit(name, module):
    """Build a unit with generated weights under its published keys."""
    weights = {
        key.replace("Hattn", "attention.height").replace("Wattn", "attention.width"): value
        for key, value in rule_weights(UNITS[name]).items()
    }
    module.load_state_dict(weights)
    return module.eval()


def assert_stored(found, key):
    thinned = found[:, ::8] if found.shape[1] == 64 and found.ndim == 4 else found
    expected = stored("unit_modules")[key]
    tolerance = 2e-5 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(thinned.detach(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("axis", ["height", "width"])
def test_attention_along_an_axis(axis):
    module = unit(f"SelfAttention_{axis[0]}", SelfAttention(64, axis))
    assert_stored(module(rule_input((2, 64, 12, 20))), f"selfattn_{axis[0]}")


def test_both_axes_are_the_same_on_square_maps():
    module = AxialAttention(64).eval()
    torch.nn.init.ones_(module.height.gamma)
    module.width.load_state_dict(module.height.state_dict())
    x = torch.randn(1, 64, 10, 10)
    assert torch.equal(module.height(x), module.width(x))
    assert not torch.equal(module.height(x), x)


def test_contexts_and_decoder():
    x = rule_input((2, 64, 12, 20))
    assert_stored(unit("PAA_kernel_64_64_5", Branch(64, 5))(x), "paa_kernel5")
    assert_stored(unit("PAA_e_64_64", Context(64))(x), "paa_e")
    shapes = [(24, 40), (12, 20), (6, 10)]
    contexts = [rule_input((1, 64, *hw), base=1000 + 100 * i) for i, hw in enumerate(shapes)]
    features, logits = unit("PAA_d_192_64", Decoder())(*contexts)
    assert_stored(features, "paa_d_f")
    assert_stored(logits, "paa_d_out")


@pytest.mark.parametrize(("stage", "stage_hw"), [("none", (12, 20)), ("st3", (8, 12))])
@pytest.mark.parametrize("regions", [3, 5])
def test_context_attention(regions, stage, stage_hw):
    edges = regions == 5
    module = unit(f"SICA_64_{regions}ctx", ContextAttention(64, stage_hw, edges=edges))
    x, saliency = rule_input((2, 64, 12, 20)), rule_input((2, 1, 6, 10), base=1300)
    laplacian = rule_input((2, 1, 7, 9), base=1400) if edges else None
    features, out = module(x, saliency, laplacian)
    assert_stored(features, f"sica{regions}_{stage}_x")
    assert_stored(out, f"sica{regions}_{stage}_out")
    context = module.gather(x, module.regions(x, saliency, laplacian))
    assert_stored(context.squeeze(-1), f"sica{regions}_{stage}_context")
