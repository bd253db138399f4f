"""Time of a clip model for a new camera frame, relative to running its whole clip.

Run ``python -m tests.benchmarks.live_cost``. On one
thread unless ``OMP_NUM_THREADS`` says otherwise; weights are fresh, the networks folded.
"""

import os
from functools import partial

import numpy as np
import torch

from sodcli.frame import Frame
from sodcli.models import build_model
from sodcli.models.pdc import reparameterise
from sodcli.registry import default_registry
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.stream import live_predictor
from tests.benchmarks.kit import in_turn, report

SIZE, ROUNDS = 256, 7


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
        for frame in frames:  # the clip is full from here on
            live(frame)
        works = {"whole clip": partial(backend.run, clip), "new frame": partial(live, frames[-1])}
        report(f"{name} at {SIZE} px", in_turn(works, ROUNDS))


if __name__ == "__main__":
    main()
