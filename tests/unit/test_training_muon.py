import pytest
import torch
from torch import nn

from sodcli.training.optim import Muon, orthogonalise


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8))


def loss(net):
    answer = net(torch.randn(2, 3, 8, 8))
    return (answer * torch.randn_like(answer)).mean()


def learn(net, optimizer, steps):
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        loss(net).backward()
        optimizer.step()


def muon(net, lr=0.01, weight_decay=0.0):
    groups = [{"params": list(net.parameters()), "weight_decay": weight_decay}]
    return Muon(groups, lr, betas=(0.9, 0.99))


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_all_singular_values_become_similar(shape, scale):
    matrix = orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(1)) * scale)
    values = torch.linalg.svdvals(matrix)
    assert matrix.shape == shape
    assert values.min() > 0.6
    assert values.max() < 1.25


@pytest.mark.slow
def test_a_step_is_as_long_as_one_of_adamw():
    net = network()
    before = net[1].weight.detach().clone()
    learn(net, muon(net, lr=0.01), 1)
    step = (net[1].weight - before).detach()
    rms = float(step.square().mean().sqrt())
    # An orthogonal 8 x 144 matrix has elements of 1 / sqrt(144), scaled by 0.2 sqrt(144).
    assert rms == pytest.approx(0.01 * 0.2, rel=0.3)


@pytest.mark.slow
def test_parameters_that_are_not_matrices_get_the_step_of_adamw():
    ours, theirs = network(), network()
    learn(ours, muon(ours), 1)
    learn(
        theirs, torch.optim.AdamW(theirs.parameters(), 0.01, betas=(0.9, 0.99), weight_decay=0), 1
    )
    assert torch.equal(ours[0].weight, theirs[0].weight)  # three input channels
    assert torch.equal(ours[2].weight, theirs[2].weight)
    assert not torch.allclose(ours[1].weight, theirs[1].weight)


@pytest.mark.slow
def test_decay_is_independent_of_the_gradient():
    plain, decayed = network(), network()
    start = plain[1].weight.detach().clone()
    learn(plain, muon(plain), 1)
    learn(decayed, muon(decayed, weight_decay=0.5), 1)
    assert torch.allclose(plain[1].weight - decayed[1].weight, start * 0.01 * 0.5, atol=1e-7)


@pytest.mark.slow
def test_a_restored_state_continues_bitwise():
    whole, halves = network(), network()
    learn(whole, muon(whole), 4)
    first = muon(halves)
    learn(halves, first, 2)
    second = muon(halves)
    second.load_state_dict(first.state_dict())
    for step in (2, 3):
        torch.manual_seed(step)
        second.zero_grad()
        loss(halves).backward()
        second.step()
    for one, other in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_gradients_are_not_modified():
    net = network()
    optimizer = muon(net)
    learn(net, optimizer, 1)
    assert all(parameter.grad is not None for parameter in net.parameters())
