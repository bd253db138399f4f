"""Convolutions with fewer multiplications equal ordinary ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sodcli.models.fast_conv import EnlargingConv, WinogradConv, use_plain_convolutions

CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 5), (6, 4)])
def test_a_convolution_of_an_enlarged_map(size_hw):
    weight, x = torch.randn(5, 4, 3, 3), torch.randn(2, 4, *size_hw)
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
    torch.testing.assert_close(EnlargingConv(weight)(x), expected, **CLOSE)


@pytest.mark.parametrize("size_hw", [(2, 2), (2, 6), (8, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_winograds_convolution(size_hw, bias):
    conv, x = nn.Conv2d(5, 4, 3, padding=1, bias=bias), torch.randn(2, 5, *size_hw)
    torch.testing.assert_close(WinogradConv(conv)(x), conv(x), **CLOSE)


@pytest.mark.slow  # importing timm alone takes seconds
@pytest.mark.parametrize(("level", "width"), [("h", 4), ("m", 4), ("l", 4), ("m", 512)])
def test_a_folded_node_equals_the_node(level, width):
    from sodcli.models.minet import Node

    sources = {"h": width, "m": width, "l": width}
    node = Node(level, {"m": width} if width > 4 else sources, 3, "nearest").eval()
    for values in (node.bn.weight, node.bn.bias, node.bn.running_mean):
        nn.init.normal_(values)
    nn.init.uniform_(node.bn.running_var, 0.5, 2)
    levels = {name: torch.randn(2, width, 16 >> n, 8 >> n) for n, name in enumerate(sources)}
    if level != "m":  # it pools or enlarges by two only
        far = "l" if level == "h" else "h"
        node.convs.pop(far)
    folded = node.folded()
    torch.testing.assert_close(folded(levels), node(levels), **CLOSE)
    use_plain_convolutions(folded)
    assert {type(conv) for conv in folded.convs.values()} == {nn.Conv2d}
    torch.testing.assert_close(folded(levels), node(levels), **CLOSE)
