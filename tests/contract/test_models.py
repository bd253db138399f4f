"""Every model of models.toml fulfils the contract of models."""

from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from sodcli.models import build_model, input_shape
from sodcli.models.pdc import is_folded, reparameterise, spelled_out
from sodcli.models.restore import restore, skip_init
from sodcli.registry import default_registry
from sodcli.weights.layouts import WITH_FOLDED, layout
from sodcli.weights.read import RawWeights

MODELS = sorted(name for name, spec in default_registry().models.items() if spec.task == "saliency")
SLOW = {
    "sdnet-a",
    "stdnet",
    "stdnet-a",
    "inspyrenet",
    "inspyrenet-res2net50",
    "minet",
    "minet-vgg16",
    "rcrnet",
    "rcrnet-image",
}
CLIP = 3  # frames; film models accept any number


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in MODELS
    ],
)
def spec(request, registry):
    return registry.model(request.param)


@pytest.fixture(scope="module")
def net(spec):
    torch.manual_seed(0)
    return build_model(spec)


class Fills(TorchFunctionMode):
    """Record the tensors that are to be filled with random numbers."""

    def __init__(self):
        super().__init__()
        self.tensors = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.__name__.endswith(("normal_", "uniform_")):  # kaiming_normal_, too
            tensor = args[0] if args else kwargs["tensor"]
            self.tensors[id(tensor)] = tensor
        return func(*args, **kwargs)


def test_few_random_numbers_are_made_for_parts_that_the_network_drops(spec):
    with skip_init(), Fills() as fills:
        module = build_model(spec)
    count = sum(tensor.numel() for tensor in fills.tensors.values())
    assert count < 1.5 * sum(parameter.numel() for parameter in module.parameters())


def random_input(spec, size_hw, batch=1):
    return torch.randn(input_shape(spec, size_hw, batch=batch, clip=CLIP))


@pytest.mark.parametrize(
    "size_hw", [(32, 32), (67, 71), (33, 130), pytest.param((96, 64), marks=pytest.mark.slow)]
)
def test_logits_have_the_size_of_the_input(spec, net, size_hw):
    x = random_input(spec, size_hw)
    with torch.inference_mode():
        prediction = net.eval()(x)
    assert prediction.logits.shape == (*x.shape[:-3], 1, *size_hw)
    (only,) = tree_leaves(prediction)  # torch.export, and converters with it, see the same tensor
    assert only is prediction.logits
    assert prediction.logits.dtype == torch.float32
    assert not prediction.aux


def test_logits_are_not_yet_probabilities(spec, net):
    with torch.inference_mode():
        logits = net.eval()(20 * random_input(spec, (64, 64))).logits
    assert logits.isfinite().all()
    assert logits.min() < 0 or logits.max() > 1


def test_an_item_in_a_batch_gets_the_same_logits_as_alone(spec, net):
    x = random_input(spec, (35, 41), batch=3)
    with torch.inference_mode():
        together = net.eval()(x).logits
        alone = torch.cat([net(item[None]).logits for item in x])
    # InSPyReNet sums over all pixels, so its logits with fresh weights are huge.
    scale = max(1.0, float(alone.abs().max()))
    torch.testing.assert_close(together, alone, rtol=0, atol=2e-5 * scale)


def test_every_parameter_gets_a_gradient(spec, net):
    net.train().zero_grad()
    prediction = net(random_input(spec, (64, 64), batch=2))
    outputs = [prediction.logits, *(t for side in prediction.aux.values() for t in side)]
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None]
    assert not missing
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_the_state_dict_can_be_loaded_again(spec, net):
    with skip_init():
        other = build_model(spec)
    for tensor in other.state_dict().values():
        tensor.zero_()
    x = random_input(spec, (64, 64))
    with torch.inference_mode():
        before = net.eval()(x).logits
        assert not torch.equal(other.eval()(x).logits, before)
        other.load_state_dict(net.state_dict())
        assert torch.equal(other(x).logits, before)


def test_folding_changes_no_logits(spec, net):
    folded = reparameterise(net)
    x = random_input(spec, (35, 41))
    with torch.inference_mode():
        before, after = spelled_out(net)(x).logits, folded(x).logits
    assert is_folded(folded)
    scale = max(1.0, float(before.abs().max()))  # as above
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5 * scale)


@pytest.mark.slow
def test_the_published_layouts_with_a_folded_form_give_it_back(registry):
    for spec in registry.models.values():
        if spec.layout not in WITH_FOLDED:
            continue
        folded = reparameterise(build_model(spec))
        published = layout(spec.layout).to_published(folded.state_dict())
        module = restore(spec, RawWeights(Path("w.pth"), published, {}), registry)
        assert is_folded(module), spec.name
        x = random_input(spec, (35, 41))
        with torch.inference_mode():
            torch.testing.assert_close(module(x).logits, folded(x).logits)
