"""The pseudo-label generator fulfils the contract of the other models, with its five inputs."""

import pytest
import torch

from sodcli.errors import UsageError
from sodcli.models import build_model, input_shape
from sodcli.weights.layouts import layout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def net(registry):
    torch.manual_seed(0)
    return build_model(registry.model("fgplg"))


def random_inputs(size_hw, batch=1):
    frame = torch.randn(batch, 3, *size_hw)
    labels = [torch.rand(batch, 1, *size_hw) for _ in range(2)]
    flows = [5 * torch.randn(batch, 2, *size_hw) for _ in range(2)]
    return [frame, *labels, *flows]


@pytest.mark.parametrize("size_hw", [(32, 32), (67, 71), (33, 130)])
def test_logits_have_the_size_of_the_input(net, size_hw):
    with torch.inference_mode():
        prediction = net.eval()(*random_inputs(size_hw))
    assert prediction.logits.shape == (1, 1, *size_hw)
    assert prediction.logits.dtype == torch.float32
    assert not prediction.aux


def test_an_item_in_a_batch_gets_the_same_logits_as_alone(net):
    inputs = random_inputs((67, 71), batch=2)
    with torch.inference_mode():
        together = net.eval()(*inputs).logits
        alone = torch.cat([net(*(x[i : i + 1] for x in inputs)).logits for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=0, atol=2e-5 * float(alone.abs().max()))


def test_every_parameter_gets_a_gradient_and_norms_keep_their_statistics(net):
    before = {k: v.clone() for k, v in net.state_dict().items() if "running" in k}
    logits = net.train()(*random_inputs((64, 64), batch=2)).logits
    (logits * torch.randn_like(logits)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())


def test_every_input_matters(net):
    inputs = random_inputs((64, 64))
    with torch.inference_mode():
        answer = net.eval()(*inputs).logits
        for place, other in enumerate(random_inputs((64, 64))):
            changed = [*inputs[:place], other, *inputs[place + 1 :]]
            assert not torch.equal(net(*changed).logits, answer)


def test_packed_inputs_give_the_same_logits(net, registry):
    from sodcli.models.fgplg import PACKED  # slow to import

    inputs = random_inputs((64, 64))
    with torch.inference_mode():
        packed = net.eval()(torch.cat(inputs, dim=1)).logits
        assert torch.equal(packed, net(*inputs).logits)
    assert [x.shape[1] for x in inputs] == list(PACKED)
    assert input_shape(registry.model("fgplg"), (64, 64)) == (1, sum(PACKED), 64, 64)


def test_a_single_picture_is_refused(net, registry):
    with pytest.raises(UsageError, match="use: sod pseudo-label"):
        net(torch.randn(1, 3, 64, 64))
    with pytest.raises(UsageError, match="use: sod pseudo-label"):
        net(*random_inputs((64, 64))[:4])
    with pytest.raises(UsageError, match="sod pseudo-label --flow"):
        build_model(registry.model("raft-small"))(torch.randn(1, 3, 128, 128))


def test_flow_networks_are_built_by_their_entries(registry):
    from sodcli.models.raft import build as build_raft

    for name, size in (("raft-small", "small"), ("raft-large", "large")):
        with torch.device("meta"):
            found = build_model(registry.model(name)).state_dict()
            wanted = build_raft(size=size).state_dict()
        assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in wanted.items()}
        theirs = layout("raft").to_published(found)
        assert "feature_encoder.convnormrelu.0.weight" in theirs
        assert layout("raft").to_ours(theirs).state.keys() == found.keys()
    assert layout("raft").to_ours({"backbone.conv1.weight": torch.zeros(1)}) is None
