"""Time and memory of InSPyReNet (SwinB) against the PyPI package transparent-background.

Run ``python -m tests.benchmarks.inspyrenet_against_transparent_background PYTHON``: the interpreter
of an environment with that package and the same PyTorch. Both networks get the same random weights
and the same input, each in its own process, in turn; the table gives ratios of medians, a line for
each engine that is installed. Peak memory is that of the whole process during inference, weights
included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np

ENGINES = ("torch", "onnx", "openvino")
ROUNDS = {384: 7, 1024: 3}
BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # x86, x86, ARM


def network(weights, side):
    """Return the folded network as ``sod infer`` runs it."""
    from sodcli.models import build_model
    from sodcli.models.pdc import reparameterise
    from sodcli.models.restore import skip_init
    from sodcli.registry import default_registry
    from sodcli.weights.layouts import layout

    spec = default_registry().model("inspyrenet")
    with skip_init():
        net = build_model(spec, {"base_hw": (side, side)}).eval()
    net.load_state_dict(layout(spec.layout).to_ours(read(weights)).state)
    return reparameterise(net)


def ours(engine, weights, side, threads):
    """Return the network on an engine, with the package's min-max normalisation."""
    from sodcli.imaging.tensors import sigmoid

    if engine == "torch":
        import torch

        from sodcli.runtime.backends.torch_backend import TorchBackend

        torch.set_num_threads(threads)
        net = network(weights, side)
        halves = {h: TorchBackend(net, torch.device("cpu"), half=h) for h in (False, True)}
    else:  # without PyTorch, as in a plain run
        from sodcli.runtime.backends.engines import make_engine

        graph = make_engine(engine, threads).open_graph(Path(f"{weights}.onnx"), threads)

    def run(x, half):
        saliency = sigmoid(halves[half].run(x) if engine == "torch" else graph([x]))
        low, high = saliency.min(), saliency.max()
        return (saliency - low) / (high - low + 1e-8)

    return run


def theirs(weights, side, threads):
    """Return the package's network, built and called as its ``Remover`` does."""
    import torch
    from transparent_background.InSPyReNet import InSPyReNet_SwinB

    torch.set_num_threads(threads)
    net = InSPyReNet_SwinB(depth=64, pretrained=False, threshold=None, base_size=[side, side])
    net.load_state_dict(read(weights))
    net.eval()

    def run(x, half):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return net(torch.from_numpy(x)).float().numpy()

    return run


def peak_mb(*, forget=False):
    """Return the peak memory of this process in MB; on Linux since the last ``forget``."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def serve(which, weights, side, threads, clock):
    """Answer each line ``0`` (float32) or ``1`` (bfloat16) with time, peak and a file."""
    side = int(side)
    now = {"wall": time.perf_counter, "cpu": time.process_time}[clock]
    rest = weights, side, threads
    run = theirs(*rest) if which == "theirs" else ours(which, *rest)
    x = np.random.default_rng(1000).standard_normal((1, 3, side, side)).astype(np.float32)
    for line in sys.stdin:
        half = line.strip() == "1"
        peak_mb(forget=True)
        start = now()
        saliency = run(x, half)
        seconds = now() - start
        out = f"{weights}.{which}.{int(half)}.npy"
        np.save(out, saliency)
        print(json.dumps({"seconds": seconds, "peak": peak_mb(), "out": out}), flush=True)


def read(path):
    import torch

    return torch.load(path, weights_only=True)  # noqa: TID251 - runs where sodcli is not installed


class Side:
    """A process with their network, or ours on one engine."""

    def __init__(self, python, which, weights, side, options):
        words = [python, __file__, "--serve", which, str(weights), str(side)]
        words += ["--threads", str(options.threads), "--clock", options.clock]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate()

    def run(self, half):
        self._process.stdin.write(f"{int(half)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def make_weights(path, side):
    """Write random weights in the published layout, scaled for pictures of ``side`` pixels."""
    import torch

    from tests.conftest import manifest, rule_weights

    weights = rule_weights(manifest("inspyrenet/manifest_swinb.json"))
    for key in [key for key in weights if key.endswith("relative_position_index")]:
        weights[key] = index()
    for n in range(3):
        for what in ("key", "value"):
            key = f"attention{n}.conv_{what}.0.bn.running_var"
            weights[key] *= np.float32(((side >> n) ** 2) ** 2)
    torch.save(weights, path)


def make_graph(weights, side):
    """Write the graph of :func:`network` next to the weights."""
    from sodcli.registry import default_registry
    from sodcli.runtime.onnx.trace import graph_of

    graph = graph_of(default_registry().model("inspyrenet"), network(weights, side))
    Path(f"{weights}.onnx").write_bytes(graph)


def index():
    import torch

    place = torch.cartesian_prod(torch.arange(12), torch.arange(12))
    offset = place[:, None] - place[None] + 11
    return offset[..., 0] * 23 + offset[..., 1]


def compare(options, engine, side, *, half, folder):
    """Print one line of the table."""
    from tests.benchmarks.kit import record  # not where this file runs as a program

    rounds = options.rounds or ROUNDS.get(side, 3)
    weights = folder / f"{side}.pth"
    if not weights.exists():
        make_weights(weights, side)
    if engine != "torch" and not Path(f"{weights}.onnx").exists():
        make_graph(weights, side)
    with (
        Side(sys.executable, engine, weights, side, options) as mine,
        Side(options.python, "theirs", weights, side, options) as other,
    ):
        other.run(False)
        mine.run(half)
        turns = [(mine.run(half), other.run(False)) for _ in range(rounds)]
        same = other.run(True)["seconds"] if half else median(b["seconds"] for _, b in turns)
    maps = [np.load(answer["out"]) for answer in turns[-1]]
    seconds = median(a["seconds"] for a, _ in turns)
    faster = seconds / median(b["seconds"] for _, b in turns)
    smaller = max(a["peak"] for a, _ in turns) / max(b["peak"] for _, b in turns)
    peaks = "/".join(f"{max(t[i]['peak'] for t in turns):.0f}" for i in (0, 1))
    difference = float(np.abs(maps[0] - maps[1]).mean())
    precision = "bfloat16" if half else "float32"
    row = [f"{side:5}", f"{engine:8}", f"{precision:9}", f"{faster:8.2f}"]
    row += [f"{seconds / same:10.2f}", f"{smaller:8.2f}", f"{peaks:>12}", f"{difference:10.1e}"]
    spread = (
        f"(maps from {maps[1].min():.2f} to {maps[1].max():.2f}, deviation {maps[1].std():.2f})"
    )
    print(*row, " ", spread, flush=True)
    each = [a["seconds"] / b["seconds"] for a, b in turns]
    record(f"inspyrenet at {side} px", precision, seconds=seconds, ratio=faster, low=min(each),
           high=max(each), of="transparent-background", memory=smaller, engine=engine)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", nargs="?", help="interpreter that has transparent-background")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--engines", nargs="+", choices=ENGINES, help="default: all installed")
    parser.add_argument("--sides", type=int, nargs="+", default=[384, 1024])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve, options.threads, options.clock)
        return
    from sodcli.runtime.backends.choose import installed

    engines = options.engines or [engine for engine in ENGINES if installed(engine)]
    flags = Path("/proc/cpuinfo").read_text().split()
    has = [flag for flag in BF16_FLAGS if flag in flags]
    print(f"{options.threads} threads; bfloat16 units of this CPU: {', '.join(has) or 'none'}")
    print("ratios, ours / theirs: time (theirs in float32), time (theirs in the same format), peak")
    print(
        f"{'side':>5} engine   format       time  time same {'peak':>8} {'MB':>12} {'|diff|':>10}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for side in options.sides:
            for engine, precision in product(engines, options.precisions):
                half = precision == "bfloat16"
                if engine == "torch" or not half:
                    compare(options, engine, side, half=half, folder=Path(folder))


if __name__ == "__main__":
    main()
