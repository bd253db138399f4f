"""The cache of ONNX graphs: PyTorch makes each graph once, other backends read it."""

import tempfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from sodcli import __version__
from sodcli.errors import SinkError, UsageError, WeightsError
from sodcli.registry import ModelSpec
from sodcli.runtime.model_source import ModelSource
from sodcli.weights import cache
from sodcli.weights.onnx_file import require_finite

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")
_DIGEST_LENGTH: Final = 16  # characters of the weights' digest in a file name


class GraphError(Exception):
    """A file is not a graph or is damaged; it can be made again."""


def folder() -> Path:
    """Return the folder of cached graphs."""
    return cache.home() / "graphs"


def shipped(source: ModelSource) -> Path | None:
    """Return the graph that ships with the package, if it belongs to ``source``."""
    entry = source.registry.weights.get(source.spec.weights or "")
    if entry is None or not entry.builtin or source.path != cache.stored(entry):
        return None
    path = Path(str(files("sodcli").joinpath("weights", f"{source.path.stem}.onnx")))
    return path if source.reparam and path.is_file() else None


class Graphs:
    """Finds the graphs of one network and makes missing ones; an exported file is its own graph."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source

    def exist(self) -> bool:
        """Return True if the graph for pictures exists."""
        if self._source.is_graph:
            return True
        return shipped(self._source) is not None or self._path("plain", None).is_file()

    def opened(self, kind: str, shape: Sequence[int] | None, open_graph: Callable[[Path], T]) -> T:
        """Return ``open_graph(path)`` for a graph; a missing or damaged graph is made first.

        Args:
            kind: ``"plain"``, or ``"blended"`` for InSPyReNet's pyramid blending.
            shape: The fixed shape of the input, ``(1, T, 3, H, W)``; ``None`` for a graph that
                takes any batch and size.
            open_graph: Reads the file; raises :class:`GraphError` if it cannot.

        Raises:
            UsageError: If the graph has to be made and the package onnx is not installed.
            WeightsError: If the weights are damaged, or a graph that cannot be made again is.
        """
        if self._source.is_graph:
            return self._exported(open_graph)
        ready = shipped(self._source) if kind == "plain" and shape is None else None
        path = ready or self._path(kind, shape)
        if not path.is_file():
            return self._make(kind, shape, open_graph)
        try:
            return open_graph(path)
        except GraphError as error:
            if ready is not None:
                raise WeightsError(f"{path}: damaged graph; install sodcli again") from error
        return self._make(kind, shape, open_graph)

    def _exported(self, open_graph: Callable[[Path], T]) -> T:
        path = self._source.path
        require_finite(path)
        try:
            return open_graph(path)
        except GraphError as error:
            raise WeightsError(f"{path}: damaged ONNX file") from error

    def _path(self, kind: str, shape: Sequence[int] | None) -> Path:
        source = self._source
        form = "folded" if source.reparam else "training"
        size = "any" if shape is None else "x".join(map(str, shape))
        digest = source.sha256[:_DIGEST_LENGTH]
        name = f"{source.spec.name}-{digest}-{form}-{kind}-{size}-float32-{__version__}.onnx"
        return folder() / name

    def _make(self, kind: str, shape: Sequence[int] | None, open_graph: Callable[[Path], T]) -> T:
        path, spec = self._path(kind, shape), self._source.spec
        from sodcli.runtime.onnx.trace import write_graph  # imports PyTorch

        if find_spec("onnx") is None:  # what PyTorch's exporter needs
            raise UsageError(
                f"making the graph of {spec.name!r} needs the package onnx; run: pip install onnx, "
                "or use backend torch"
            )
        self._source.note(f"making the graph of {spec.name}, once")
        module = self._source.build()
        try:
            write_graph(path, spec, module, kind, shape)
        except SinkError:  # a read-only cache must not stop the program
            return open_unsaved(spec, module, kind, shape, open_graph)
        return open_graph(path)


def open_unsaved(
    spec: ModelSpec,
    module: "nn.Module",
    kind: str,
    shape: Sequence[int] | None,
    open_graph: Callable[[Path], T],
) -> T:
    """Return ``open_graph(path)`` for a graph of ``module`` that is not kept in the cache."""
    from sodcli.runtime.onnx.trace import write_graph  # imports PyTorch

    with tempfile.TemporaryDirectory(prefix="sod-graphs-") as elsewhere:
        path = Path(elsewhere, "network.onnx")
        write_graph(path, spec, module, kind, shape)
        return open_graph(path)
