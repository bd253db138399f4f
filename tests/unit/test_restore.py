"""Networks are restored from files without random initialisation."""

from pathlib import Path

import pytest
import torch

from sodcli.errors import WeightsError
from sodcli.models import build_model
from sodcli.models.pdc import reparameterise
from sodcli.models.restore import describe, identify, initialise, norm_of, restore, skip_init
from sodcli.registry import default_registry
from sodcli.weights.layouts import layout
from sodcli.weights.read import RawWeights
from tests.conftest import rare

MODELS = sorted(default_registry().models)


@pytest.fixture(scope="module", params=MODELS)
def spec(request, registry):
    return registry.model(request.param)


@pytest.mark.slow
def test_restored_networks_have_the_values_of_the_file_and_of_build(spec, registry):
    with skip_init():
        built = build_model(spec).eval()
    for place, parameter in enumerate(built.parameters()):
        torch.nn.init.constant_(parameter, place)
    about = describe(spec, built, spec.args)
    raw = RawWeights(Path("w.safetensors"), built.state_dict(), about)
    before = torch.get_rng_state()
    restored = restore(spec, raw, registry)
    assert torch.equal(torch.get_rng_state(), before)
    for kind in ("named_parameters", "named_buffers"):  # including buffers that are not in files
        given, found = dict(getattr(built, kind)()), dict(getattr(restored, kind)())
        assert given.keys() == found.keys()
        assert all(torch.equal(value, found[key]) for key, value in given.items()), kind
    assert all(parameter.requires_grad for parameter in restored.parameters())


def test_a_file_is_identified_by_its_keys_without_random_numbers(registry):
    state = layout("sdnet").to_published(build_model(registry.model("sdnet-a")).state_dict())
    before = torch.get_rng_state()
    assert identify(RawWeights(Path("w.pth"), state), registry) is registry.model("sdnet-a")
    assert torch.equal(torch.get_rng_state(), before)


def test_only_random_initialisation_is_skipped():
    with skip_init():
        blank = torch.nn.init.uniform_(tensor=torch.full((2,), 7.0))
        assert blank.normal_().tolist() == [7, 7]
        assert torch.nn.BatchNorm2d(2).weight.tolist() == [1, 1]
        assert torch.arange(3).add_(1).tolist() == [1, 2, 3]
    assert torch.nn.init.uniform_(torch.full((2,), 7.0)).max() < 7


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ours", "published", "backbone alone"])
def test_the_generator_can_start_from_weights_of_picture_models(registry, kind):
    spec, image = registry.model("fgplg"), registry.model("rcrnet-image")
    with skip_init():
        given, module = build_model(image), build_model(spec)
    state = given.state_dict()
    first = "backbone.resnet.conv1.weight"
    state[first] = torch.full_like(state[first], 2.0)
    fresh = module.state_dict()[first].fill_(3.0).clone()
    about = describe(image, given, image.args) if kind == "ours" else {}
    if kind == "published":
        state = layout("rcrnet").to_published(state)
    if kind == "backbone alone":
        head = "backbone.resnet."
        state = {k.removeprefix(head): v for k, v in state.items() if k.startswith(head)}
    count = initialise(module, spec, RawWeights(Path("w.safetensors"), state, about), registry)
    assert count == len([key for key in state if ".fc." not in key])
    learnt = module.state_dict()[first]
    assert learnt[:, :3].unique().tolist() == [2.0]
    assert torch.equal(learnt[:, 3:], fresh[:, 3:])


@pytest.mark.slow
def test_weights_of_other_shapes_cannot_initialise(registry):
    with torch.device("meta"):
        module = build_model(registry.model("fgplg"))
    for shape in ((64, 4, 7, 7), (64, 3, 5, 5)):
        state = {"backbone.resnet.conv1.weight": torch.zeros(shape)}
        with pytest.raises(WeightsError, match=r"no place for backbone\.resnet\.conv1\.weight"):
            initialise(module, registry.model("fgplg"), RawWeights(Path("w.pth"), state), registry)


@pytest.mark.parametrize("kind", ["ours", *rare("published", "backbone alone")])
def test_weights_that_fit_a_sibling_only_name_it(registry, kind):
    spec, other = registry.model("sdnet"), registry.model("sdnet-a")
    given = build_model(other)
    state, about = given.state_dict(), {}
    if kind == "ours":
        about = describe(other, given, other.args)
    else:
        state = layout("sdnet").to_published(state)
    if kind == "backbone alone":
        state = {key: tensor for key, tensor in state.items() if "block" in key}
    raw = RawWeights(Path("w.pth"), state, about)
    with pytest.raises(
        WeightsError, match=r"^w\.pth: does not fit sdnet but sdnet-a; add -m sdnet-a$"
    ):
        initialise(build_model(spec), spec, raw, registry)


def test_a_published_sdnet_can_initialise_stdnet(registry):
    spec, image = registry.model("stdnet"), registry.model("sdnet")
    given = build_model(image)
    raw = RawWeights(Path("w.pth"), layout("sdnet").to_published(given.state_dict()), {})
    assert norm_of(spec, raw, registry) == "none"
    film = build_model(spec, {"norm": "none"})
    initialise(film, spec, raw, registry)
    kernel = "block3_1.pdc.kernels.2"
    assert torch.equal(film.backbone.state_dict()[kernel], given.backbone.state_dict()[kernel])


def test_folded_weights_cannot_initialise(registry):
    spec = registry.model("sdnet")
    folded = reparameterise(build_model(spec).eval())
    raw = RawWeights(Path("w.pth"), folded.state_dict(), describe(spec, folded, spec.args))
    with pytest.raises(WeightsError, match="its convolutions are folded; give the file that"):
        initialise(build_model(spec), spec, raw, registry)
