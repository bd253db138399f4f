"""How much faster SDNet trains through one folded convolution per block than through four.

Run ``python -m tests.benchmarks.training_step``. Prints ratios of things timed in turn in one run.
"""

import statistics
import time

import torch

from sodcli.models.pdc import PixelDifferenceConv
from sodcli.models.sdnet import build

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
    start = time.perf_counter()
    net(x).logits.square().mean().backward()
    return time.perf_counter() - start


def main():
    forms = {
        "four branches": {"folded": False, "channels_last": False},
        "folded": {"folded": True, "channels_last": False},
        "folded, channels_last": {"folded": True, "channels_last": True},
    }
    nets = {name: network(**form) for name, form in forms.items()}
    times = {name: [] for name in forms}
    for turn in range(ROUNDS + 1):
        for name, form in forms.items():
            seconds = step(nets[name], form["channels_last"])
            if turn:  # the first round warms up
                times[name].append(seconds)
    base = statistics.median(times["four branches"])
    print(f"{BATCH} pictures of {SIZE} px, {torch.get_num_threads()} threads, median of {ROUNDS}")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:24} {median * 1e3:7.0f} ms   {base / median:5.2f} x")


if __name__ == "__main__":
    main()
