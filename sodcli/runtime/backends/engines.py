"""ONNX Runtime and OpenVINO: libraries that run ONNX graphs on the CPU."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import numpy as np

from sodcli.files.locks import file_lock
from sodcli.runtime.backends import MAX_WORKERS, Array
from sodcli.runtime.backends.graph_cache import GraphError, folder
from sodcli.runtime.device import call_glibc

T = TypeVar("T")
Run = Callable[[Sequence[Array]], Array]
"""Maps the inputs of a graph to its single output, float32; thread-safe."""

_LARGE: Final = 2**26  # bytes of a graph from which releasing memory pays
_ERRORS_ONLY: Final = 3  # log level of ONNX Runtime
_OUT_OF_MEMORY: Final = (
    "bad_alloc",
    "allocate memory",
    "memory allocation",
    "Failed to allocate",
)
_OPENING: Final = threading.Lock()


@dataclass(frozen=True)
class Engine:
    """Opens graphs.

    Attributes:
        name: The value of ``--backend``.
        threads: CPU threads that a graph may use.
        half: Compute in bfloat16 instead of float32.
        workers: See :class:`sodcli.runtime.backends.Backend`.
    """

    threads: int
    half: bool = False
    name: ClassVar[str]

    @property
    def workers(self) -> int:
        """Number of threads that should run graphs in parallel."""
        return 1

    def open_graph(self, path: Path, threads: int) -> Run:
        """Read an ONNX file and return a function that runs it on ``threads`` threads.

        Raises:
            GraphError: If the file is not a graph or is damaged.
            MemoryError: If memory runs out.
        """
        raise NotImplementedError


class OnnxEngine(Engine):
    """ONNX Runtime, float32; starts faster than OpenVINO."""

    name = "onnx"

    @property
    def workers(self) -> int:
        """See :class:`Engine`."""
        return min(MAX_WORKERS, self.threads)

    def open_graph(self, path: Path, threads: int) -> Run:
        """See :class:`Engine`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = _ERRORS_ONLY
        # A waiting thread that spins takes the core from reading, drawing and other programs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the exception classes differ between versions
            raise _opening_error(error) from error
        if path.stat().st_size > _LARGE:
            call_glibc("malloc_trim", 0)  # what reading the graph took; glibc would keep it
        names = [one.name for one in session.get_inputs()]

        def run(inputs: Sequence[Array]) -> Array:
            named: dict[str, Any] = dict(zip(names, inputs, strict=True))
            answer: Array = session.run(None, named)[0]
            return answer

        return run


class OpenVinoEngine(Engine):
    """OpenVINO, float32 or, with ``half``, bfloat16; faster than ONNX Runtime on Intel processors.

    All calls to OpenVINO run in one thread of the process, because a process that calls it from
    several threads sometimes crashes when it later starts a subprocess.
    """

    name = "openvino"

    def open_graph(self, path: Path, threads: int) -> Run:
        """See :class:`Engine`."""

        def open_request() -> Any:
            compiled = _core().compile_model(str(path), "CPU", self._settings(threads))
            return compiled.create_infer_request()

        try:
            with _opening():
                request = _in_one_thread(open_request)
        except RuntimeError as error:
            raise _opening_error(error) from error

        def run(inputs: Sequence[Array]) -> Array:
            from openvino import Tensor

            *outer, _, height, width = inputs[0].shape
            logits = np.full((*outer, 1, height, width), -np.inf, np.float32)

            def infer() -> None:
                request.set_output_tensor(Tensor(logits, shared_memory=True))
                request.infer(list(inputs))

            _in_one_thread(infer)
            if np.isneginf(logits).all():  # OpenVINO leaves the output as it is and raises nothing
                raise MemoryError
            return logits

        return run

    def _settings(self, threads: int) -> dict[str, str | int]:
        return {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if self.half else "f32",
        }


def is_out_of_memory(error: Exception) -> bool:
    """Return True if memory ran out; the engines report it in the text of various exceptions."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def _opening_error(error: Exception) -> Exception:
    return MemoryError() if is_out_of_memory(error) else GraphError(str(error))


_executors: dict[int, ThreadPoolExecutor] = {}  # by process ID: threads do not survive a fork


def _in_one_thread(work: Callable[[], T]) -> T:
    """Call ``work`` in the thread of this process that runs OpenVINO and return its result."""
    executor = _executors.get(os.getpid())
    if executor is None:  # setdefault is atomic: all threads get the same executor
        executor = _executors.setdefault(os.getpid(), ThreadPoolExecutor(1, "openvino"))
    return executor.submit(work).result()


def make_engine(name: str, threads: int, *, half: bool = False) -> Engine:
    """Return the engine called ``onnx`` or ``openvino``."""
    kinds: dict[str, type[Engine]] = {one.name: one for one in (OnnxEngine, OpenVinoEngine)}
    return kinds[name](threads, half)


@contextmanager
def _opening() -> Iterator[None]:
    """Hold a lock so that only one thread of one process opens a graph at a time.

    OpenVINO maps its cache files into memory and crashes if another process writes them.
    """
    with ExitStack() as stack:
        stack.enter_context(_OPENING)
        with suppress(OSError):  # a folder that cannot be locked has no cache
            stack.enter_context(file_lock(folder() / "openvino.lock"))
        yield


def _core() -> Any:
    """Return OpenVINO's core, which keeps compiled graphs in our cache folder if it is writable."""
    import openvino

    core = openvino.Core()
    kept = folder() / "openvino"
    with suppress(OSError, RuntimeError):
        kept.mkdir(parents=True, exist_ok=True)
        core.set_property({"CACHE_DIR": str(kept)})
    return core
