"""What a camera's new frame costs a clip model, against running its whole clip again.

Run ``python -m tests.benchmarks.live_cost``. Prints ratios of things timed in turn in one run, on
one thread unless ``OMP_NUM_THREADS`` says otherwise; weights are fresh, the networks folded.
"""

import os
import statistics
import time

import numpy as np
import torch

from sodcli.frame import Frame
from sodcli.models import build_model
from sodcli.models.pdc import reparameterise
from sodcli.registry import default_registry
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.stream import live_predictor

SIZE, ROUNDS = 256, 7


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    rng = np.random.default_rng(0)
    frames = [Frame(rng.integers(0, 256, (360, 640, 3), np.uint8), place, "") for place in range(8)]
    print(f"{SIZE} px, {torch.get_num_threads()} thread(s), median of {ROUNDS}")
    for name in ("stdnet", "stdnet-a"):
        spec = default_registry().model(name)
        module = reparameterise(build_model(spec))
        backend = TorchBackend(module, torch.device("cpu"), half=False)
        predictor = Predictor(spec, module, backend, size=SIZE)
        live = live_predictor(predictor)
        clip = np.stack([predictor.prepare(frame) for frame in frames])[None]
        for frame in frames:  # the window is full from here on
            live(frame)
        times = [
            (seconds(lambda: live(frames[-1])), seconds(lambda: backend.run(clip)))  # noqa: B023
            for _ in range(ROUNDS)
        ]
        fresh, whole = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{name:10} new frame {fresh * 1e3:7.0f} ms   whole clip {whole * 1e3:7.0f} ms   "
            f"ratio {fresh / whole:.2f}"
        )


if __name__ == "__main__":
    main()
