"""The graphs of networks: made once by PyTorch, kept in the cache, read by what needs none."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeVar

from sodcli import __version__
from sodcli.errors import SinkError, WeightsError
from sodcli.runtime.model_source import Blueprint
from sodcli.weights import cache

T = TypeVar("T")
_DIGITS: Final = 16  # of the weights' digest, in a file name


class GraphError(Exception):
    """A file is no graph, or a damaged one; it can be made anew."""


def folder() -> Path:
    """Return where graphs are kept."""
    return cache.home() / "graphs"


def shipped(network: Blueprint) -> Path | None:
    """Return the graph that ships with the package, if it is of this network."""
    entry = network.registry.weights.get(network.spec.weights or "")
    if entry is None or not entry.builtin or network.path != cache.stored(entry):
        return None
    path = Path(str(files("sodcli").joinpath("weights", f"{network.path.stem}.onnx")))
    return path if network.reparam and path.is_file() else None


class Graphs:
    """Finds the graphs of one network, and has them made.

    Args:
        network: What they are made from.
        tell: Told in words when one is made, which takes seconds.
    """

    def __init__(self, network: Blueprint, tell: Callable[[str], None] = lambda text: None) -> None:
        self._network, self._tell = network, tell

    def here(self) -> bool:
        """Say whether the graph for pictures exists already."""
        return shipped(self._network) is not None or self._kept("plain", None).is_file()

    def opened(self, kind: str, shape: Sequence[int] | None, open_graph: Callable[[Path], T]) -> T:
        """Return what ``open_graph`` makes of a graph; one that is damaged is made anew.

        Args:
            kind: ``"plain"``, or ``"blended"`` for a :class:`.BlendingNetwork` on two sizes.
            shape: Of the one input that it takes, ``(1, T, 3, H, W)``; ``None`` for any batch and
                size.
            open_graph: Reads the file; raises :class:`GraphError` if it cannot.

        Raises:
            WeightsError: If the weights are damaged, or a graph of this package cannot be read.
        """
        ready = shipped(self._network) if kind == "plain" and shape is None else None
        path = ready or self._kept(kind, shape)
        if not path.is_file():
            return self._made(kind, shape, open_graph)
        try:
            return open_graph(path)
        except GraphError as error:
            if ready is not None:
                raise WeightsError(f"{path}: damaged graph; install sodcli again") from error
        with suppress(OSError):
            path.unlink()
        return self._made(kind, shape, open_graph)

    def _kept(self, kind: str, shape: Sequence[int] | None) -> Path:
        network = self._network
        form = "folded" if network.reparam else "training"
        size = "any" if shape is None else "x".join(map(str, shape))
        digest = network.sha256[:_DIGITS]
        name = f"{network.spec.name}-{digest}-{form}-{kind}-{size}-float32-{__version__}.onnx"
        return folder() / name

    def _made(self, kind: str, shape: Sequence[int] | None, open_graph: Callable[[Path], T]) -> T:
        from sodcli.runtime.onnx.trace import write_graph  # brings PyTorch

        path, spec = self._kept(kind, shape), self._network.spec
        self._tell(f"making the graph of {spec.name}, once")
        module = self._network.build()
        try:
            write_graph(path, spec, module, kind, shape)
        except SinkError:  # a cache that cannot be written is no reason to give up
            with tempfile.TemporaryDirectory(prefix="sod-graphs-") as elsewhere:
                path = Path(elsewhere, path.name)
                write_graph(path, spec, module, kind, shape)
                return open_graph(path)
        return open_graph(path)
