"""The built-in network against SDNet and U2Net-P, on each engine that is installed.

Run ``python -m tests.benchmarks.networks``. Prints processor seconds a picture on one thread and
their ratio to SDNet's, each network at the size that it is used at, timed in turn in one run. The
U2Net-P has its published shape and random weights, which says nothing of quality and everything of
time; the SDNet has the shape of the published one.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch

from sodcli.registry import DEFAULT_MODEL, default_registry
from sodcli.runtime.backends.choose import installed
from sodcli.runtime.backends.engines import make_engine
from sodcli.runtime.model_source import find_network
from sodcli.runtime.onnx.trace import graph_of
from tests.benchmarks.cutouts_against_rembg import SIDE, put_network
from tests.benchmarks.kit import in_turn, report, seconds

ROUNDS = 9


def graphs(folder):
    """Write each network as graphs for one size; return files and shapes by name.

    A network that sees photos a second time, at half size, has two.
    """
    found = {}
    for name in ("sdnet", DEFAULT_MODEL):
        network = find_network(name, None, default_registry())
        found[name] = []
        for part in (1, 2) if network.spec.context else (1,):
            shape = (1, 3, *(side // part for side in network.spec.input_hw))
            path = folder / f"{name}-{part}.onnx"
            path.write_bytes(graph_of(network.spec, network.build(), shape=shape))
            found[name].append((path, shape))
    put_network(folder)
    theirs = onnx.load(folder / "u2netp.onnx")
    del theirs.graph.output[1:]  # the side outputs; our engines read one output
    onnx.save(theirs, folder / "u2netp.onnx")
    found["u2netp"] = [(folder / "u2netp.onnx", (1, 3, SIDE, SIDE))]
    return found


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        networks = graphs(Path(name))
        for engine in filter(installed, ("onnx", "openvino")):
            works = {}
            for network, passes in networks.items():
                runs = [
                    partial(
                        make_engine(engine, 1).open_graph(path, 1),
                        [np.random.default_rng(0).standard_normal(shape).astype(np.float32)],
                    )
                    for path, shape in passes
                ]
                sides = " and ".join(str(shape[-1]) for _, shape in passes)
                works[f"{network} {sides}"] = lambda runs=runs: [run() for run in runs]
            taken = in_turn(works, ROUNDS, lambda work: seconds(work, time.process_time))
            report("networks, one thread", taken, engine=engine)


if __name__ == "__main__":
    main()
