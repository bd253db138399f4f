"""The backend that runs ONNX graphs with ONNX Runtime or OpenVINO."""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from sodcli.errors import DeviceError
from sodcli.runtime.backends import Array, Backend, describe_batch, finite
from sodcli.runtime.backends.engines import Engine, Run, is_out_of_memory
from sodcli.runtime.device import processor

_Key = tuple[str, tuple[int, ...] | None, int]  # kind, shape, number of threads
_CLIP_AXES: Final = 5


class GraphSource(Protocol):
    """Provides graphs; see :class:`sodcli.runtime.backends.graph_cache.Graphs`."""

    def opened(
        self, kind: str, shape: Sequence[int] | None, open_graph: Callable[[Path], Run]
    ) -> Run:
        """Return ``open_graph(path)`` for the file of the graph."""
        ...


class GraphBackend(Backend):
    """Runs a network as graphs: one for pictures of any size, and one for each clip shape.

    A graph is opened when it is first needed, or earlier by :meth:`open_now` or :meth:`open_ahead`.
    Open graphs are neither pickled nor used after a fork; the copy opens its own.

    Args:
        graphs: Provides the graphs.
        engine: Opens them.
        fixed_shape: The only input shape that the graph takes, such as ``(1, 3, 288, 288)``. Larger
            batches are split, smaller ones and shorter clips filled up with their last item.
    """

    blends = True

    def __init__(
        self, graphs: GraphSource, engine: Engine, fixed_shape: tuple[int, ...] | None = None
    ) -> None:
        self._graphs, self._engine, self._fixed = graphs, engine, fixed_shape
        self.workers = 1 if fixed_shape is not None and fixed_shape[0] > 1 else engine.workers
        precision = "bfloat16" if engine.half else "float32"
        self.where = f"{processor(engine.threads)}, {precision}, {engine.name}"
        self._reset()

    def _reset(self) -> None:
        self._open: dict[_Key, Run] = {}
        self._ahead: dict[_Key, Future[Run]] = {}
        self._opening, self._local = threading.RLock(), threading.local()
        _BACKENDS.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return GraphBackend, (self._graphs, self._engine, self._fixed)

    def open_now(self, *, many: bool = False) -> None:
        """Open the graph for pictures.

        Args:
            many: Open it for workers, each on its share of the threads.

        Raises:
            SodError: If the graph has to be made and that fails.
        """
        self._open_once(self._key("plain", self._fixed, many))

    def open_ahead(self, *, many: bool = False) -> None:
        """Open the graph for pictures in a thread; :meth:`run` waits for it."""
        key = self._key("plain", self._fixed, many)
        pool = ThreadPoolExecutor(1, "graph")
        self._ahead[key] = pool.submit(self._opened, key)
        pool.shutdown(wait=False)

    def start_worker(self) -> None:
        """See :class:`Backend`."""
        self._local.is_worker = True

    def run(self, batch: Array) -> Array:
        """See :class:`Backend`; clips are processed one by one."""
        if self._fixed is not None:
            if batch.ndim < len(self._fixed):  # pictures, for a graph of clips of one frame
                return self.run(batch[:, None])[:, 0]
            size = self._fixed[0]
            parts = (batch[start : start + size] for start in range(0, len(batch), size))
            return np.concatenate([self._fitted(part) for part in parts])
        if batch.ndim < _CLIP_AXES:
            return self._answer("plain", None, [batch])
        shape = (1, *batch.shape[1:])
        return np.concatenate([self._answer("plain", shape, [clip[None]]) for clip in batch])

    def _fitted(self, part: Array) -> Array:
        """Run the graph of fixed shape on a batch that is not larger."""
        pad = [(0, most - side) for most, side in zip(self._fixed or (), part.shape, strict=True)]
        answer = self._answer("plain", self._fixed, [np.pad(part, pad, "edge")])
        return answer[tuple(slice(side) for side in (*part.shape[:-3], 1, *part.shape[-2:]))]

    def blend(self, large: Array, small: Array) -> Array:
        """See :class:`Backend`."""
        return self._answer("blended", None, [large, small])

    def _answer(self, kind: str, shape: tuple[int, ...] | None, inputs: Sequence[Array]) -> Array:
        is_worker = getattr(self._local, "is_worker", False)
        try:
            return finite(self._open_once(self._key(kind, shape, is_worker))(inputs))
        except Exception as error:  # ONNX Runtime's exceptions are not RuntimeErrors
            if not is_out_of_memory(error):
                raise
            raise DeviceError(
                f"cpu: out of memory for {describe_batch(inputs[0].shape)}; lower batch or size"
            ) from error

    def _open_once(self, key: _Key) -> Run:
        with self._opening:
            if key not in self._open:
                ahead = self._ahead.get(key)
                self._open[key] = ahead.result() if ahead else self._opened(key)
            return self._open[key]

    def _key(self, kind: str, shape: tuple[int, ...] | None, share: bool) -> _Key:
        return kind, shape, self._engine.threads // (self.workers if share else 1)

    def _opened(self, key: _Key) -> Run:
        kind, shape, threads = key
        return self._graphs.opened(kind, shape, lambda path: self._engine.open_graph(path, threads))

    def _before_fork(self) -> None:
        """Wait until no thread is opening a graph: its locks would stay locked in the child."""
        for future in self._ahead.values():
            future.exception()
        self._opening.acquire()

    def _after_fork_in_child(self) -> None:
        """Discard open graphs, because their threads do not exist in the child.

        They are never freed, because that would wait for these threads.
        """
        for run in self._open.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(run))
        for future in self._ahead.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(future))
        self._reset()


_BACKENDS: Final[weakref.WeakSet[GraphBackend]] = weakref.WeakSet()
_held: list[GraphBackend] = []


def _before_fork() -> None:
    _held.extend(_BACKENDS)
    for backend in _held:
        backend._before_fork()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._opening.release()


def _after_fork_in_child() -> None:
    while _held:
        _held.pop()._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
