"""How much faster SDNet trains through one folded convolution per block than through four.

Run ``python -m tests.benchmarks.training_step``.
"""

from functools import partial

import torch

from sodcli.models.pdc import PixelDifferenceConv
from sodcli.models.sdnet import build
from tests.benchmarks.kit import in_turn, report

SIZE, BATCH, ROUNDS = 224, 8, 5


def network(*, folded, channels_last):
    net = build().train()
    if not folded:
        for module in net.modules():
            if isinstance(module, PixelDifferenceConv):
                module.forward = module.branches
    return net.to(memory_format=torch.channels_last) if channels_last else net


def step(net, channels_last):
    x = torch.randn(BATCH, 3, SIZE, SIZE)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    net(x).logits.square().mean().backward()


def main():
    forms = {
        "four branches": {"folded": False, "channels_last": False},
        "folded": {"folded": True, "channels_last": False},
        "folded, channels_last": {"folded": True, "channels_last": True},
    }
    works = {
        name: partial(step, network(**form), form["channels_last"]) for name, form in forms.items()
    }
    threads = torch.get_num_threads()
    report(
        f"training step, {BATCH} pictures of {SIZE} px, {threads} threads", in_turn(works, ROUNDS)
    )


if __name__ == "__main__":
    main()
