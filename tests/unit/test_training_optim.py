import pytest
import torch

from sodcli.errors import UsageError
from sodcli.models import build_model
from sodcli.training.optim import GroupRule, OptimizerConfig, build_optimizer, set_rates
from tests.training_kit import settings

pytestmark = pytest.mark.slow  # torch.optim imports torch._dynamo, which takes seconds


def groups_by_parameter(module, optimizer):
    owner = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    return {name: owner[id(p)] for name, p in module.named_parameters()}


def test_sdnet_s_groups_follow_the_paper(registry, tmp_path):
    module = build_model(registry.model("sdnet"), {"norm": "operator"})
    rules = settings(tmp_path).optimizer
    groups = groups_by_parameter(module, build_optimizer(module, rules, 1e-3, preloaded=False))
    assert len(groups) == len(list(module.parameters()))
    decays = {name: group["weight_decay"] for name, group in groups.items()}
    assert decays["backbone.block2_1.pdc.scales"] == 5e-5
    assert decays["backbone.block2_1.pdc.norm_in.weight"] == 1e-5
    assert decays["backbone.block2_1.pdc.norms.0.bias"] == 1e-5
    assert decays["backbone.block2_1.pdc.kernels.0"] == 1e-4
    assert decays["decoder.conv_reduces.0.bias"] == 1e-4


def test_scales_are_frozen_during_warm_up_unless_preloaded(registry, tmp_path):
    module = build_model(registry.model("sdnet"))
    rules = settings(tmp_path).optimizer

    def rates(preloaded, epoch):
        optimizer = build_optimizer(module, rules, 1e-3, preloaded=preloaded)
        highest = set_rates(optimizer, epoch, lambda base: base / 2)
        groups = groups_by_parameter(module, optimizer)
        return (
            groups["backbone.init_block.scales"]["lr"],
            groups["decoder.conv_reduces.0.bias"]["lr"],
            highest,
        )

    assert rates(False, 4) == (0, 5e-4, 5e-4)
    assert rates(False, 5) == (5e-4, 5e-4, 5e-4)
    assert rates(True, 0) == (5e-4, 5e-4, 5e-4)


def test_the_first_matching_rule_applies_and_other_parameters_have_no_decay():
    module = torch.nn.ModuleDict({"backbone": torch.nn.Linear(1, 1), "head": torch.nn.Linear(1, 1)})
    rules = (GroupRule(match="backbone", lr=0.1), GroupRule(match="weight", weight_decay=1.0))
    config = OptimizerConfig(name="sgd", momentum=0.5, groups=rules)
    optimizer = build_optimizer(module, config, 1.0, preloaded=False)
    groups = groups_by_parameter(module, optimizer)
    found = {name: (g["base_lr"], g["weight_decay"]) for name, g in groups.items()}
    assert found == {
        "backbone.weight": (0.1, 0),
        "backbone.bias": (0.1, 0),
        "head.weight": (1.0, 1.0),
        "head.bias": (1.0, 0),
    }
    assert all(group["momentum"] == 0.5 for group in optimizer.param_groups)


def test_a_rate_of_zero_freezes_parameters():
    module = torch.nn.ModuleDict({"stem": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 1)})
    config = OptimizerConfig(groups=(GroupRule(match="stem", lr=0),))
    optimizer = build_optimizer(module, config, 1.0, preloaded=True)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in module["head"].parameters()}
    module["head"](module["stem"](torch.ones(1, 2))).sum().backward()
    assert module["stem"].weight.grad is None
    assert module["head"].weight.grad is not None


def test_at_least_one_parameter_must_be_trained():
    config = OptimizerConfig(groups=(GroupRule(lr=0),))
    with pytest.raises(UsageError, match="every parameter has lr = 0"):
        build_optimizer(torch.nn.Linear(1, 1), config, 1.0, preloaded=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_each_name_gives_its_algorithm(name, kind):
    config = OptimizerConfig(name=name, betas=(0.8, 0.9))
    optimizer = build_optimizer(torch.nn.Linear(1, 1), config, 1e-3, preloaded=False)
    assert type(optimizer) is kind
    assert optimizer.param_groups[0].get("betas", (0.8, 0.9)) == (0.8, 0.9)


def test_frozen_parameters_are_left_out():
    module = torch.nn.Linear(1, 1)
    module.bias.requires_grad_(False)
    optimizer = build_optimizer(module, OptimizerConfig(), 1e-3, preloaded=False)
    assert [p for group in optimizer.param_groups for p in group["params"]] == [module.weight]
