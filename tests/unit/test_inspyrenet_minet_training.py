"""Training of InSPyReNet and MINet: recipes, learning rates, decay and mixed precision."""

import pytest
import torch
from torch import nn

from sodcli.models import build_model
from sodcli.models.restore import skip_init
from sodcli.training.config import resolve
from sodcli.training.losses import get_loss
from sodcli.training.optim import build_optimizer


def built(name, registry, args=None):
    with skip_init():
        return build_model(registry.model(name), args)


def settings(name, recipe, registry, tmp_path):
    return resolve(registry, {"model": name, "recipe": recipe, "data": [str(tmp_path)]})


def groups(module, config):
    optimizer = build_optimizer(module, config.optimizer, config.lr, preloaded=False)
    owner = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    return {name: owner[id(p)] for name, p in module.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "decayed"), [("minet", 10), ("minet-vgg16", 18)])
def test_minet_has_no_decay_on_parameters_named_bias_or_bn(name, decayed, registry, tmp_path):
    """As published, where the names of 11 (here 10: the stem's is named) and 18 batch norms
    do not match."""
    module = built(name, registry)
    config = settings(name, "minet", registry, tmp_path)
    decays = {key: group["weight_decay"] for key, group in groups(module, config).items()}
    norms = [key for key, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)]
    assert sum(decays[f"{key}.weight"] > 0 for key in norms) == decayed
    for key, decay in decays.items():
        assert not (key.endswith("bias") and decay), key
        assert decay or key.endswith("bias") or ".bn" in key, key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe"),
    [("minet", "minet-f3"), ("minet-vgg16", "minet-f3"), ("inspyrenet", "inspyrenet")],
)
def test_the_backbone_has_a_tenth_of_the_learning_rate(name, recipe, registry, tmp_path):
    config = settings(name, recipe, registry, tmp_path)
    for key, group in groups(built(name, registry), config).items():
        factor = 0.1 if key.startswith("backbone.") else 1
        assert group["base_lr"] == pytest.approx(factor * config.lr), key


@pytest.mark.slow
def test_the_recipe_for_1024_pixels_gathers_contexts_at_that_size(registry, tmp_path):
    config = settings("inspyrenet-res2net50", "inspyrenet-1024", registry, tmp_path)
    module = built("inspyrenet-res2net50", registry, config.args)
    assert config.size == 1024
    assert [part.stage_hw for part in module.attentions] == [(1024 >> i,) * 2 for i in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "loss"), [("inspyrenet-res2net50", "pyramid"), ("minet-vgg16", "bce-cel")]
)
def test_a_step_in_bfloat16_is_close_to_one_in_float32(name, loss, registry):
    torch.manual_seed(0)
    module = build_model(registry.model(name)).train()
    x, y = torch.randn(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)
    y[..., 8:24, 10:24] = 1
    losses = []
    for half in (False, True):
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            prediction = module(x)
        aux = {key: tuple(t.float() for t in side) for key, side in prediction.aux.items()}
        value = get_loss(loss)(prediction._replace(logits=prediction.logits.float(), aux=aux), y)
        value.backward()
        losses.append(value.item())
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
