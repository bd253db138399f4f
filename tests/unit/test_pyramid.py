"""The image pyramid and its blending equal the published arithmetic."""

from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sodcli.models.pyramid import (
    blend,
    disc_rows,
    expand,
    gaussian_kernel,
    reconstruct,
    reduce,
    transition,
)
from sodcli.models.resample import pad_to, resize
from tests.conftest import DATA, rule_input

SIZES = [(24, 32), (23, 31), (8, 8)]
DISCS = [5, 9, 17]


@cache
def stored(key):
    return torch.from_numpy(np.load(DATA / "inspyrenet" / "unit_pyramid.npz")[key])


def close(found, key, atol=1e-5):
    torch.testing.assert_close(found.squeeze(), stored(key), rtol=0, atol=atol)


def test_the_kernel_equals_the_published_one():
    close(gaussian_kernel(), "kernel", atol=1e-8)


@pytest.mark.golden
@pytest.mark.parametrize("size_hw", SIZES)
def test_levels_equal_the_published_ones(size_hw):
    height, width = size_hw
    name = f"{height}x{width}"
    x = rule_input((1, 1, *size_hw))
    close(reduce(x), f"reduce_{name}")
    close(expand(x), f"expand_{name}")
    close(x - F.interpolate(expand(reduce(x)), size_hw), f"decon_lap_{name}")
    fitting = rule_input((1, 1, 2 * height, 2 * width), base=2000)
    close(reconstruct(x, fitting), f"recon_{name}")
    other = rule_input((1, 1, height + 3, width + 5), base=2000)
    close(reconstruct(x, other), f"recon_mis_{name}")


def test_a_pyramid_reconstructs_its_image():
    x = torch.randn(2, 1, 24, 32)
    coarse = reduce(x)
    torch.testing.assert_close(reconstruct(coarse, x - expand(coarse)), x)


@pytest.mark.golden
@pytest.mark.parametrize("size", DISCS)
def test_transitions_equal_the_published_ones(size):
    x = resize(4 * rule_input((1, 1, 12, 16), base=4000), (48, 64))
    mask = transition(x, size)
    assert 0 < mask.mean() < 1
    close(mask, f"transition{size}", atol=0)


@pytest.mark.parametrize("size", DISCS)
def test_the_disc_is_the_published_one(size):
    disc = stored(f"transition{size}_kernel")
    assert [(int(row.sum()) - 1) // 2 for row in disc] == disc_rows(size)
    assert torch.equal(disc, disc.flip(0))
    assert torch.equal(disc, disc.flip(1))


def test_a_transition_lies_within_the_disc_radius_of_an_edge():
    x = torch.full((1, 1, 20, 20), -9.0)
    x[..., 10:] = 9
    columns = transition(x, 5).squeeze().mean(0)
    assert columns.tolist() == [0.0] * 8 + [1.0] * 4 + [0.0] * 8


@pytest.mark.golden
def test_blending_equals_the_published_arithmetic():
    small = resize(4 * rule_input((1, 1, 12, 12), base=4000), (96, 96))
    coarse = resize(small, (18, 20))
    close(coarse, "blend_d3")
    sizes = [(36, 40), (72, 80), (144, 160)]
    laplacians = [rule_input((1, 1, *hw), base=5000 + i) for i, hw in enumerate(sizes)]
    for level, name in enumerate(("2", "1", "0")):
        below = blend(coarse, laplacians[:level])
        close(resize(transition(below, DISCS[level]), sizes[level]), f"blend_t{name}")
        close(blend(coarse, laplacians[: level + 1]), f"blend_d{name}")


def test_blending_adds_nothing_where_nothing_changes():
    coarse = torch.full((1, 1, 8, 8), 5.0)
    laplacians = [torch.randn(1, 1, 8 << level, 8 << level) for level in (1, 2, 3)]
    without = [torch.zeros_like(laplacian) for laplacian in laplacians]
    assert torch.equal(blend(coarse, laplacians), blend(coarse, without))


def test_padding_is_added_at_the_bottom_and_right_only():
    x = torch.randn(1, 3, 33, 64)
    padded = pad_to(x, 32)
    assert padded.shape == (1, 3, 64, 64)
    assert torch.equal(padded[..., :33, :], x)
    assert not padded[..., 33:, :].any()
    assert pad_to(x, 1, least=80).shape == (1, 3, 80, 80)
    assert torch.equal(pad_to(padded, 32), padded)
