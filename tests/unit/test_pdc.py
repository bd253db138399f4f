"""The difference operators against their definitions, and their folding."""

import pytest
import torch
from torch.nn import functional as F

from sodcli.models.pdc import OPERATORS, PixelDifferenceConv, is_folded, reparameterise, tap_map


def central(x, w):
    return F.conv2d(x, w, padding=1) - F.conv2d(x, w.sum((2, 3), keepdim=True))


def angular(x, w):
    """Each weight applies to its pixel minus the next pixel around the centre."""
    neighbour = [3, 0, 1, 6, 4, 2, 7, 8, 5]
    flat = w.flatten(2)
    return F.conv2d(x, (flat - flat[..., neighbour]).view_as(w), padding=1)


def radial(x, w):
    """Weights 1 to 8 apply to the outer ring minus the inner ring, indexed by hand."""
    outer = [(0, 0), (0, 2), (0, 4), (2, 0), (2, 4), (4, 0), (4, 2), (4, 4)]
    inner = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2), (3, 3)]
    kernel = torch.zeros(*w.shape[:2], 5, 5, dtype=w.dtype)
    for tap, (far, near) in enumerate(zip(outer, inner, strict=True), start=1):
        kernel[:, :, far[0], far[1]] += w.flatten(2)[..., tap]
        kernel[:, :, near[0], near[1]] -= w.flatten(2)[..., tap]
    return F.conv2d(x, kernel, padding=2)


DEFINITIONS = {
    "cv": lambda x, w: F.conv2d(x, w, padding=1),
    "cd": central,
    "ad": angular,
    "rd": radial,
}


@pytest.fixture
def make():
    def build(operators, *, groups=1, norm="none", channels=(4, 4)):
        torch.manual_seed(0)
        conv = PixelDifferenceConv(channels, operators, groups=groups, norm=norm).double()
        torch.nn.init.normal_(conv.scales)
        for module in conv.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for value in (module.weight, module.bias, module.running_mean):
                    torch.nn.init.normal_(value)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        return conv.eval()

    return build


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_operator_equals_its_definition(make, operator):
    conv = make((operator,))
    x = torch.randn(2, 4, 9, 7, dtype=torch.float64)
    expected = DEFINITIONS[operator](x, conv.kernels[0])
    torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-12)


def test_an_unknown_operator_is_refused():
    with pytest.raises(ValueError, match="'xd'"):
        tap_map("xd")


@pytest.mark.parametrize("operators", [("cv", "cd", "ad"), OPERATORS])
@pytest.mark.parametrize("groups", [1, 4])
def test_one_convolution_gives_the_values_and_gradients_of_all_branches(make, operators, groups):
    conv = make(operators, groups=groups)
    x = torch.randn(2, 4, 11, 8, dtype=torch.float64, requires_grad=True)
    seen = []
    for forward in (conv.forward, conv.branches):
        y = forward(x)
        gradients = torch.autograd.grad((y * y.detach().sin()).sum(), [x, *conv.parameters()])
        seen.append([y, *gradients])
    for one, many in zip(*seen, strict=True):
        torch.testing.assert_close(one, many, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("operators", [("cv", "cd", "ad"), OPERATORS])
@pytest.mark.parametrize("norm", ["none", "operator", "sum"])
def test_folding_is_exact_at_the_border(make, operators, norm):
    conv = make(operators, groups=4, norm=norm)
    folded = conv.folded()
    x = torch.randn(2, 4, 11, 8, dtype=torch.float64)
    for form in (conv, conv.branches):
        torch.testing.assert_close(folded(x), form(x), rtol=0, atol=1e-12)


def test_a_channel_without_gamma_folds_too(make):
    conv = make(("cv", "cd", "ad"), groups=4, norm="operator")
    with torch.no_grad():
        conv.norm_in.weight[1] = 0
        conv.norm_in.weight[2] = -1e-9
    conv = conv.float()
    x = torch.randn(2, 4, 11, 8)
    torch.testing.assert_close(conv.folded()(x), conv(x), rtol=0, atol=1e-4)


def test_reparameterise_does_not_change_the_original(make):
    net = torch.nn.Sequential(make(("cv", "cd", "ad"), groups=4, norm="operator"))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64)
    y = net(x)
    folded = reparameterise(net)
    assert is_folded(folded)
    assert not is_folded(net)
    assert torch.equal(net(x), y)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_training_mode_uses_each_operators_own_statistics(make):
    conv = make(("cv", "cd"), groups=4, norm="operator").train()
    x = torch.randn(4, 4, 8, 8, dtype=torch.float64)
    y = conv.branches(x)
    mix = conv.scales.softmax(0)
    normed = F.batch_norm(
        x, None, None, conv.norm_in.weight, conv.norm_in.bias, training=True, eps=1e-5
    )
    expected = sum(
        weight
        * F.batch_norm(
            DEFINITIONS_DEPTHWISE[name](normed, kernel),
            None,
            None,
            norm.weight,
            norm.bias,
            training=True,
            eps=1e-5,
        )
        for weight, name, kernel, norm in zip(
            mix, ("cv", "cd"), conv.kernels, conv.norms, strict=True
        )
    )
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-10)


DEFINITIONS_DEPTHWISE = {
    "cv": lambda x, w: F.conv2d(x, w, padding=1, groups=4),
    "cd": lambda x, w: (
        F.conv2d(x, w, padding=1, groups=4) - F.conv2d(x, w.sum((2, 3), keepdim=True), groups=4)
    ),
}
