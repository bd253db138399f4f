"""Convolution with norm: folding, mixtures, pointwise; attention in strips."""

import pytest
import torch

from sodcli.models import inspyrenet_decoder as sica
from sodcli.models.convnorm import ConvNorm, ConvReLU
from sodcli.models.inspyrenet_decoder import ContextAttention


@pytest.fixture(params=[False, True], ids=["trained form", "folded"])
def unit(request):
    torch.manual_seed(0)

    def make(*args, **options):
        made = ConvNorm(*args, **options).eval()
        torch.nn.init.uniform_(made.bn.running_var, 0.5, 1.5)
        torch.nn.init.normal_(made.bn.running_mean)
        torch.nn.init.normal_(made.bn.weight)
        torch.nn.init.normal_(made.bn.bias)
        return made.folded() if request.param else made

    return make


def close(found, expected, atol=1e-5):
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def test_folding_keeps_the_output_and_removes_the_norm():
    unit = ConvNorm(4, 6, (1, 3), relu=True).eval()
    torch.nn.init.normal_(unit.bn.running_mean)
    folded = unit.folded()
    x = torch.randn(2, 4, 5, 7)
    close(folded(x), unit(x))
    assert type(folded) is ConvReLU
    assert [key for key, _ in folded.named_parameters()] == ["conv.weight", "conv.bias"]


@pytest.mark.parametrize("relu", [False, True])
def test_of_mixture_equals_convolving_the_mixture(unit, relu):
    module = unit(8, 6, 3, dilation=2, relu=relu)
    shares, values = torch.rand(2, 5, 9, 7), torch.randn(2, 8, 5)
    mixture = torch.einsum("nkhw,nck->nchw", shares, values)
    close(module.of_mixture(shares, values), module(mixture))


def test_pointwise_equals_the_convolution(unit):
    module = unit(8, 6, 1, relu=True)
    x = torch.randn(2, 8, 5, 7)
    close(module.pointwise(x), module(x))
    assert module.pointwise(x).is_contiguous()


def test_computing_in_strips_gives_the_same_output(monkeypatch):
    torch.manual_seed(0)
    module = ContextAttention(16, (8, 8), edges=True).eval()
    x, saliency, laplacian = (
        torch.randn(2, 16, 61, 20),
        torch.randn(2, 1, 9, 9),
        torch.randn(2, 1, 9, 9),
    )
    whole = [part.detach() for part in module(x, saliency, laplacian)]
    monkeypatch.setattr(sica, "_STRIP_VALUES", 2 * 64 * 20 * 16)
    assert len(list(module._strips(x))) == 4
    for found, expected in zip(module(x, saliency, laplacian), whole, strict=True):
        close(found, expected, atol=1e-5 * float(expected.abs().max()))
    assert module(x, saliency, laplacian, last=True)[0].shape == (2, 0, 61, 20)
    assert len(list(module.train()._strips(x))) == 1


def test_regions_are_gathered_the_same_in_both_memory_formats():
    torch.manual_seed(0)
    module = ContextAttention(16, (8, 8), edges=False)
    x, regions = torch.randn(2, 16, 8, 8), torch.rand(2, 3, 8, 8)
    found = module.gather(x.contiguous(memory_format=torch.channels_last), regions)
    rows = x.reshape(2, -1, 16)  # the same memory, one row per pixel
    close(found.squeeze(-1), (regions.flatten(2) @ rows).mT)
    close(module.gather(x, regions), found)
