"""Our backends against PyTorch as DCR leaves the network, and what starting the program costs.

Run ``python -m tests.benchmarks.backends``. Prints ratios of things timed in turn in one run, on
one thread unless ``OMP_NUM_THREADS`` says otherwise; the cold start on all cores. Weights are the
built-in ones. Backends whose packages are not installed are left out.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sodcli.runtime.backends.choose import installed

SIZE, ROUNDS, STARTS = 320, 12, 5
GRAPHS = ("onnx", "openvino")


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(title, times, reference):
    base = statistics.median(times[reference])
    print(title)
    for name, values in times.items():
        median = statistics.median(values)
        print(f"  {name:28} {median * 1e3:8.1f} ms   {median / base:5.2f} of {reference}")


def network():
    import torch

    from sodcli.models.pdc import reparameterise
    from sodcli.models.restore import restore
    from sodcli.registry import default_registry
    from sodcli.runtime.backends.choose import make_backend
    from sodcli.runtime.backends.graph_cache import Graphs
    from sodcli.runtime.backends.torch_backend import TorchBackend
    from sodcli.runtime.model_source import find_network

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
    for work in works.values():
        work()
        work()
    times = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            times[name].append(seconds(work))
    table(f"sdnet at {SIZE} px, {threads} thread(s), medians of {ROUNDS}", times, next(iter(works)))


def start_once(photo, backend):
    """Return the seconds and the most memory, in MiB, of one whole ``sod infer``.

    A process inherits the memory of the one that starts it, so this one must not have PyTorch yet.
    It may keep compiled code on the disk, as an installed package has it.
    """
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    words = ["infer", str(photo), "--overwrite", "--quiet", "--backend", backend]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "sodcli", *words], stdout=subprocess.DEVNULL, env=env
    )
    _, status, used = os.wait4(process.pid, 0)
    assert not status
    return time.perf_counter() - begin, used.ru_maxrss / 2**10


def cold_start():
    names = ["torch", *filter(installed, GRAPHS)]
    times, memory = {name: [] for name in names}, dict.fromkeys(names, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "photo.jpg")
        rgb = np.random.default_rng(0).integers(0, 256, (50, 75, 3), np.uint8)
        Image.fromarray(rgb).resize((600, 400)).save(photo)
        for turn in range(STARTS + 1):
            for name in names:
                took, peak = start_once(photo, name)
                memory[name] = max(memory[name], peak)
                if turn:  # the first reads everything from the disk
                    times[name].append(took)
    table(f"sod infer photo.jpg, whole process, medians of {STARTS}", times, "torch")
    print("  most memory: " + ", ".join(f"{name} {peak:.0f} MiB" for name, peak in memory.items()))


def main():
    if "--network" not in sys.argv:
        cold_start()
    if "--start" not in sys.argv:
        network()


if __name__ == "__main__":
    main()
