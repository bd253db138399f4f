"""OpenVINO: the fastest on Intel's processors, slower to start; the extra ``[openvino]``."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np
import openvino

from sodcli.files import file_lock
from sodcli.runtime.backends import Array
from sodcli.runtime.backends.graph_backend import Engine, Run
from sodcli.runtime.backends.graph_cache import GraphError, folder

_TURN: Final = threading.Lock()


def engine(threads: int, *, half: bool) -> Engine:
    """Return OpenVINO on the CPU; with ``half`` in bfloat16, where the processor has that.

    One lane only: a process that ran several of it died when it next started another program.
    """

    def open_graph(path: Path, threads: int) -> Run:
        try:
            with _in_turn():
                compiled = _core().compile_model(str(path), "CPU", _settings(threads, half))
        except RuntimeError as error:
            raise GraphError(str(path)) from error
        request = compiled.create_infer_request()

        def run(inputs: Sequence[Array]) -> Array:
            answer = request.infer(list(inputs))[compiled.output(0)]
            return np.array(answer, np.float32)  # the next run takes the memory back

        return run

    return Engine("openvino", open_graph, "bfloat16" if half else "float32", threads)


@contextmanager
def _in_turn() -> Iterator[None]:
    """Let one thread and one process at a time open a graph.

    The library maps files of its cache into memory, and dies if another writes them meanwhile.
    """
    with ExitStack() as stack:
        stack.enter_context(_TURN)
        with suppress(OSError):  # where no lock can be made there is no cache either
            stack.enter_context(file_lock(folder() / "openvino.lock"))
        yield


def _core() -> openvino.Core:
    """Return the library, with its cache of compiled graphs in ours if that can be written."""
    core = openvino.Core()
    kept = folder() / "openvino"
    try:
        kept.mkdir(parents=True, exist_ok=True)
        core.set_property({"CACHE_DIR": str(kept)})
    except (OSError, RuntimeError):
        pass
    return core


def _settings(threads: int, half: bool) -> dict[str, str | int]:
    return {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
    }
