"""Runs exported graphs, on whichever engine."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from sodcli.errors import DeviceError
from sodcli.pipelines.backends import Array, finite, say

Run = Callable[[Sequence[Array]], Array]
"""Maps the inputs of a graph to its one output, float32."""

_CLIP_AXES: Final = 5


@dataclass(frozen=True, slots=True)
class Engine:
    """What reads and runs a graph.

    Attributes:
        name: As after ``--backend``.
        open_graph: Reads the file; raises :class:`.GraphError` if it cannot.
        precision: In words.
        threads: CPU threads that it uses.
    """

    name: str
    open_graph: Callable[[Path], Run]
    precision: str
    threads: int


class Shelf(Protocol):
    """Where graphs come from; see :class:`sodcli.pipelines.backends.graphs.Graphs`."""

    def opened(
        self, kind: str, shape: Sequence[int] | None, open_graph: Callable[[Path], Run]
    ) -> Run:
        """Return what ``open_graph`` makes of the graph."""
        ...


class GraphBackend:
    """A network as graphs: one for pictures of any size, one for each shape of a clip.

    Graphs are opened when they are first needed, unless they are asked for before.

    Attributes:
        where: The line that tells the user about device and precision.
    """

    def __init__(self, graphs: Shelf, engine: Engine) -> None:
        self._graphs, self._engine = graphs, engine
        self._open: dict[tuple[str, tuple[int, ...] | None], Run] = {}
        self._ahead: Future[Run] | None = None
        self.where = f"device: cpu ({engine.threads} threads), {engine.precision}, {engine.name}"

    def open(self) -> None:
        """Open the graph for pictures now; raises what making it may raise."""
        self._open["plain", None] = self._opened("plain", None)

    def begin(self) -> None:
        """Open the graph for pictures in a thread, while the caller does something else."""
        pool = ThreadPoolExecutor(1, "graph")
        self._ahead = pool.submit(
            lambda: self._graphs.opened("plain", None, self._engine.open_graph)
        )
        pool.shutdown(wait=False)

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
        run = self._open.get((kind, shape))
        if run is None:
            run = self._opened(kind, shape)
            self._open[kind, shape] = run
        try:
            return finite(run(inputs))
        except (RuntimeError, MemoryError) as error:
            if not _is_memory(error):
                raise
            raise DeviceError(
                f"cpu: out of memory for {say(inputs[0].shape)}; lower --batch or --size"
            ) from error

    def _opened(self, kind: str, shape: tuple[int, ...] | None) -> Run:
        if self._ahead is not None and (kind, shape) == ("plain", None):
            return self._ahead.result()
        return self._graphs.opened(kind, shape, self._engine.open_graph)


def _is_memory(error: Exception) -> bool:
    words = ("bad_alloc", "allocate memory", "memory allocation", "Failed to allocate")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
