"""Our backends against PyTorch as DCR leaves the network.

Run ``python -m tests.benchmarks.backends [--compile]``, on one thread unless ``OMP_NUM_THREADS``
says otherwise. Weights are the built-in ones of SDNet. Backends whose packages are not installed
are skipped.
"""

import os
import sys
import time

import numpy as np
import torch

from sodcli.models.pdc import reparameterise
from sodcli.models.restore import restore
from sodcli.registry import default_registry
from sodcli.runtime.backends.choose import installed, make_backend
from sodcli.runtime.backends.graph_cache import Graphs
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.model_source import find_network
from tests.benchmarks.kit import in_turn, report, seconds

SIZE, ROUNDS = 320, 12
GRAPHS = ("onnx", "openvino")


def main():
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    cpu = torch.device("cpu")
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    torch.set_num_threads(threads)
    found = find_network("sdnet", None, default_registry())
    plain = reparameterise(restore(found.spec, found.raw, found.registry))
    x = np.random.default_rng(0).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
    rows = torch.from_numpy(x)
    ours = TorchBackend(found.build(), cpu, half=False)
    works = {
        "eager, NCHW, after DCR": torch.inference_mode()(lambda: plain(rows)),
        "torch": lambda: ours.run(x),
    }
    for name in filter(installed, GRAPHS):
        backend = make_backend(name, Graphs(found), threads, half=False)
        works[name] = lambda backend=backend: backend.run(x)
    if "--compile" in sys.argv:
        compiled = TorchBackend(found.build(), cpu, half=False, compiled=True)
        works["torch --compile"] = lambda: compiled.run(x)
    clock = time.process_time if threads == 1 else time.perf_counter
    taken = in_turn(works, ROUNDS, lambda work: seconds(work, clock))
    report(f"sdnet at {SIZE} px, {threads} thread(s)", taken)


if __name__ == "__main__":
    main()
