"""Runs exported graphs, on whichever engine."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from sodcli.errors import DeviceError
from sodcli.runtime.backends import Array, finite, say
from sodcli.runtime.device import processor

Run = Callable[[Sequence[Array]], Array]
"""Maps the inputs of a graph to its one output, float32."""

_Key = tuple[str, tuple[int, ...] | None, int]  # kind, shape, and on how many threads
_CLIP_AXES: Final = 5


@dataclass(frozen=True, slots=True)
class Engine:
    """What reads and runs a graph.

    Attributes:
        name: As after ``--backend``.
        open_graph: Reads the file, to be run on so many threads; raises :class:`.GraphError` if it
            cannot.
        precision: In words.
        threads: CPU threads that it uses.
        lanes: How many threads may run a graph side by side.
    """

    name: str
    open_graph: Callable[[Path, int], Run]
    precision: str
    threads: int
    lanes: int = 1


class Shelf(Protocol):
    """Where graphs come from; see :class:`sodcli.runtime.backends.graph_cache.Graphs`."""

    def opened(
        self, kind: str, shape: Sequence[int] | None, open_graph: Callable[[Path], Run]
    ) -> Run:
        """Return what ``open_graph`` makes of the graph."""
        ...


class GraphBackend:
    """A network as graphs: one for pictures of any size, one for each shape of a clip.

    Graphs are opened when they are first needed, unless they are asked for before.

    Attributes:
        where: Device, precision and engine in words.
        lanes: How many threads may run it side by side, each on a core of its own.
    """

    def __init__(self, graphs: Shelf, engine: Engine) -> None:
        self._graphs, self._engine = graphs, engine
        self._open: dict[_Key, Run] = {}
        self._ahead: dict[_Key, Future[Run]] = {}
        self._opening, self._here = threading.Lock(), threading.local()
        self.lanes = engine.lanes
        self.where = f"{processor(engine.threads)}, {engine.precision}, {engine.name}"

    def open(self, *, many: bool = False) -> None:
        """Open the graph for pictures now; raises what making it may raise.

        Args:
            many: Whether lanes will run it.
        """
        key = self._key("plain", None, many)
        self._open[key] = self._opened(key)

    def begin(self, *, many: bool) -> None:
        """Open the graph for pictures in a thread, while the caller does something else.

        Args:
            many: Whether lanes will run it.
        """
        key = self._key("plain", None, many)
        pool = ThreadPoolExecutor(1, "graph")
        self._ahead[key] = pool.submit(self._opened, key)
        pool.shutdown(wait=False)

    def enter_lane(self) -> None:
        """Let the calling thread run a graph of its share of the threads."""
        self._here.in_lane = True

    def leave_lanes(self) -> None:
        """Do nothing: other threads are not concerned."""

    def run(self, batch: Array) -> Array:
        """Map ``(N, 3, H, W)`` float32, normalised, to logits ``(N, 1, H, W)`` float32.

        For clips ``(N, T, 3, H, W)`` and ``(N, T, 1, H, W)``, one after the other.

        Raises:
            DeviceError: If there is not enough memory.
            WeightsError: If the answer is not finite.
        """
        if batch.ndim < _CLIP_AXES:
            return self._answer("plain", None, [batch])
        shape = (1, *batch.shape[1:])
        return np.concatenate([self._answer("plain", shape, [clip[None]]) for clip in batch])

    def blend(self, large: Array, small: Array) -> Array:
        """Return the logits of a :class:`.BlendingNetwork` for the same pictures at two sizes.

        Raises:
            DeviceError: If there is not enough memory.
            WeightsError: If the answer is not finite.
        """
        return self._answer("blended", None, [large, small])

    def _answer(self, kind: str, shape: tuple[int, ...] | None, inputs: Sequence[Array]) -> Array:
        run = self._graph(kind, shape)
        try:
            return finite(run(inputs))
        except (RuntimeError, MemoryError) as error:
            if not _is_memory(error):
                raise
            raise DeviceError(
                f"cpu: out of memory for {say(inputs[0].shape)}; lower --batch or --size"
            ) from error

    def _graph(self, kind: str, shape: tuple[int, ...] | None) -> Run:
        key = self._key(kind, shape, getattr(self._here, "in_lane", False))
        with self._opening:
            if key not in self._open:
                ahead = self._ahead.get(key)
                self._open[key] = ahead.result() if ahead else self._opened(key)
            return self._open[key]

    def _key(self, kind: str, shape: tuple[int, ...] | None, many: bool) -> _Key:
        return kind, shape, self._engine.threads // (self.lanes if many else 1)

    def _opened(self, key: _Key) -> Run:
        kind, shape, threads = key
        return self._graphs.opened(kind, shape, lambda path: self._engine.open_graph(path, threads))


def _is_memory(error: Exception) -> bool:
    words = ("bad_alloc", "allocate memory", "memory allocation", "Failed to allocate")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
