"""ONNX Runtime: starts within a moment; the extra ``[onnx]``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import onnxruntime

from sodcli.runtime.backends import MOST_LANES, Array
from sodcli.runtime.backends.graph_backend import Engine, Run
from sodcli.runtime.backends.graph_cache import GraphError

_ERRORS_ONLY: Final = 3


def engine(threads: int) -> Engine:
    """Return ONNX Runtime on the CPU, float32."""

    def open_graph(path: Path, threads: int) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its classes have no common name in all versions
            raise GraphError(str(path)) from error
        names = [one.name for one in session.get_inputs()]

        def run(inputs: Sequence[Array]) -> Array:
            fed: dict[str, Any] = dict(zip(names, inputs, strict=True))
            answer: Array = session.run(None, fed)[0]
            return answer

        return run

    return Engine("onnx", open_graph, "float32", threads, min(MOST_LANES, threads))
