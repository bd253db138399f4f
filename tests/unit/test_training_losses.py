import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sodcli.errors import UsageError
from sodcli.models._base import Prediction
from sodcli.training import losses
from sodcli.training.losses import get_loss, loss
from tests.conftest import DATA, rule_input

ALL = ("balanced-bce", "bce", "bce-cel", "bce-ssim-iou", "pyramid", "region-ssim")


def disc(high, wide):
    y, x = np.mgrid[:high, :wide]
    inside = (y - high / 2) ** 2 + (x - wide / 2) ** 2 < (min(high, wide) / 4) ** 2
    return torch.from_numpy(inside.astype(np.float32))[None, None]


def guess(n=2, side=48, seed=0):
    """Return a prediction with the side outputs of a pyramid, with gradients enabled."""
    sides = (side // 8, side // 4, side // 2, side)
    logits = [rule_input((n, 1, s, s), seed=seed + s).requires_grad_() for s in sides]
    return Prediction(logits[-1], {"saliency": tuple(logits[:-1])}), logits


def truth(n=2, side=48):
    return torch.cat([disc(side, side), 1 - disc(side, side)]).repeat(n // 2, 1, 1, 1)


@pytest.mark.golden
def test_inspyrenet_terms_equal_the_published_values():
    golden = json.loads((DATA / "training/inspyrenet_losses.json").read_text())
    logits = rule_input((2, 1, 40, 56), base=6000).double()
    target = torch.cat([disc(40, 56), 1 - disc(40, 56)]).double()
    assert losses.edge_bce(logits, target) == pytest.approx(golden["wbce_f64"], abs=1e-9)
    assert losses.pixel_iou(logits, target) == pytest.approx(golden["iou_f64"], abs=1e-9)


@pytest.mark.golden
@pytest.mark.parametrize("size", [(24, 32), (23, 31), (8, 8)])
def test_gaussian_reduce_equals_the_published_one(size):
    golden = np.load(DATA / "training/pyramid_reduce.npz")["reduce_{}x{}".format(*size)]
    ours = losses.reduce(rule_input((1, 1, *size)))
    np.testing.assert_allclose(ours[0, 0].numpy(), golden, atol=1e-6)


@pytest.mark.golden
def test_minet_terms_equal_the_published_values():
    golden = json.loads((DATA / "training/minet_losses.json").read_text())
    logits = rule_input((2, 1, 24, 32), base=2000)
    target = torch.from_numpy(np.random.default_rng(3000).random((2, 1, 24, 32)) > 0.5).float()
    total = get_loss("bce-cel")(Prediction(logits), target)
    assert total == pytest.approx(golden["total"], abs=1e-6)
    cel = losses.consistency
    assert cel(logits, target) == pytest.approx(golden["cel"], abs=1e-6)
    assert cel(logits, 0 * target) == pytest.approx(golden["cel_empty_gt"], abs=1e-6)
    assert cel(logits, 0 * target + 1) == pytest.approx(golden["cel_full_gt"], abs=1e-6)


def test_balanced_bce_weights_each_picture_by_its_own_areas():
    target = torch.zeros(2, 1, 4, 4)
    target[0, 0, 0, :] = 1  # 4 salient, 12 empty
    target[1, 0, 0, 0], target[1, 0, 0, 1] = 0.9, 0.5  # 1 salient, 14 empty, 1 between
    logits = rule_input(target.shape)
    p = logits.double().sigmoid()
    entropy = -(target * p.log() + (1 - target) * (1 - p).log())
    first = torch.where(target[0] > 0.8, 12 / 16, 1.1 * 4 / 16)
    between = (14 / 15 + 1.1 / 15) / 2
    second = torch.where(target[1] > 0.8, 14 / 15, torch.where(target[1] < 0.01, 1.1 / 15, between))
    expected = ((first * entropy[0]).sum() + (second * entropy[1]).sum()) / 2
    assert losses.balanced_bce(Prediction(logits), target) == pytest.approx(float(expected))


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_balanced_bce_of_a_one_coloured_mask_is_finite(value):
    target = torch.full((1, 1, 4, 4), value)
    assert losses.balanced_bce(Prediction(rule_input(target.shape)), target).isfinite()


def test_ssim_follows_its_definition_at_a_pixel():
    a, b = torch.rand(2, 1, 1, 21, 21, dtype=torch.float64).unbind()
    place = np.arange(11) - 5
    line = np.exp(-(place**2) / (2 * 1.5**2))
    window = torch.from_numpy(np.outer(line, line) / line.sum() ** 2)
    x, y = (z[0, 0, 5:16, 5:16] for z in (a, b))
    mx, my = (window * x).sum(), (window * y).sum()
    vx, vy = (window * x * x).sum() - mx**2, (window * y * y).sum() - my**2
    cov = (window * x * y).sum() - mx * my
    expected = (2 * mx * my + 1e-4) * (2 * cov + 9e-4)
    expected /= (mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)
    assert losses.ssim(a, b)[0, 0, 10, 10] == pytest.approx(float(expected))


def test_stdnet_terms_are_zero_for_a_perfect_map():
    target = truth()
    sure = Prediction((2 * target - 1) * 50)
    assert get_loss("bce-ssim-iou")(sure, target) == pytest.approx(0, abs=1e-4)
    assert losses.soft_iou_loss(1 - target, target) == pytest.approx(1, abs=1e-4)


def test_the_loss_of_a_clip_is_that_of_its_frames():
    logits, target = rule_input((2, 3, 1, 16, 16)), truth(6, 16).view(2, 3, 1, 16, 16)
    frames = Prediction(logits.flatten(0, 1)), target.flatten(0, 1)
    as_clip = get_loss("bce-ssim-iou")(Prediction(logits), target)
    assert as_clip == pytest.approx(float(get_loss("bce-ssim-iou")(*frames)))
    assert get_loss("bce")(Prediction(logits), target) == pytest.approx(
        3 * float(get_loss("bce")(*frames))
    )


def test_pyramid_compares_every_level_with_the_blurred_mask():
    prediction, logits = guess()
    target = truth()
    total = get_loss("pyramid")(prediction, target).detach()
    expected, y = torch.zeros(()), target
    for level, x in enumerate(reversed(logits)):
        y = losses.reduce(y) if level else target
        big = [F.interpolate(z, (48, 48), mode="nearest") for z in (x, y)]
        expected = expected + losses.edge_bce(*big) + losses.pixel_iou(*big)
    for coarse, fine in pairwise(logits):
        both = [F.interpolate(z, (48, 48), mode="nearest") for z in (coarse, losses.reduce(fine))]
        expected = expected + 1e-4 * (both[0] - both[1]).abs().mean()
    assert total == pytest.approx(float(expected.detach()), rel=1e-6)


def test_consistency_has_no_gradient_for_the_finer_level():
    coarse, fine = (rule_input((1, 1, s, s), seed=s).requires_grad_() for s in (24, 48))
    empty = torch.zeros(1, 1, 48, 48)
    get_loss("pyramid")(Prediction(fine, {"saliency": (coarse,)}), empty).backward()
    alone = fine.detach().clone().requires_grad_()
    losses.region(alone, empty).backward()
    assert torch.equal(fine.grad, alone.grad)
    assert coarse.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "name", [n for n in ALL if n != "bce-cel"]
)  # computes one ratio for the whole batch
def test_a_batch_is_the_mean_of_its_pieces(name):
    prediction, _ = guess(n=4)
    target = truth(4)
    pieces = [
        get_loss(name)(
            Prediction(
                prediction.logits[i : i + 1],
                {"saliency": tuple(z[i : i + 1] for z in prediction.aux["saliency"])},
            ),
            target[i : i + 1],
        )
        for i in range(4)
    ]
    assert get_loss(name)(prediction, target).detach() == pytest.approx(
        float(torch.stack(pieces).mean().detach()), rel=1e-5
    )


@pytest.mark.parametrize("name", ALL)
def test_saturated_logits_keep_finite_losses_and_gradients(name):
    logits = [(1000 * (z.detach().sign())).requires_grad_() for z in guess()[1]]
    prediction = Prediction(logits[-1], {"saliency": tuple(logits[:-1])})
    value = get_loss(name)(prediction, truth())
    value.backward()
    assert value.isfinite()
    assert logits[-1].grad.isfinite().all()
    assert value > 100


def test_loss_names_are_unique_and_unknown_ones_get_a_suggestion():
    with pytest.raises(ValueError, match="'bce' exists already"):
        loss("bce")(losses.bce)
    with pytest.raises(UsageError, match=r"no loss named 'bce-cell'. Did you mean 'bce-cel'\?"):
        get_loss("bce-cell")


def test_bce_starts_at_log_two():
    assert get_loss("bce")(Prediction(torch.zeros(1, 1, 8, 8)), truth(2, 8)[:1]) == pytest.approx(
        math.log(2)
    )
