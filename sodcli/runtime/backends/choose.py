"""Which backend runs a network; whatever is not installed or cannot do it is told in one line."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sodcli.errors import UsageError
from sodcli.registry import ModelSpec
from sodcli.runtime.backends.graph_cache import Graphs
from sodcli.runtime.device import accelerator_likely, check_name, choose_device
from sodcli.text import did_you_mean

if TYPE_CHECKING:
    from sodcli.runtime.backends.graph_backend import GraphBackend, Shelf

NAMES: Final = ("auto", "torch", "onnx", "openvino")
_PACKAGES: Final = {"onnx": "onnxruntime", "openvino": "openvino"}
_MANY: Final = 100  # pictures from which on compiling a graph, or making it, has paid


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for; the names are those of the options.

    Attributes:
        pictures: How many there will be; ``None`` if nobody knows.
    """

    backend: str = "auto"
    device: str = "auto"
    half: bool = False
    compiled: bool = False
    pictures: int | None = None


def installed(backend: str) -> bool:
    """Say whether the package of a backend is here, without importing it."""
    return backend == "torch" or find_spec(_PACKAGES[backend]) is not None


def check_wish(wish: Wish) -> None:
    """Refuse what no model could fulfil.

    Raises:
        UsageError: If the wish contradicts itself, or the backend is unknown or not installed.
    """
    check_name(wish.device)
    name = wish.backend
    if name not in NAMES:
        hint = did_you_mean(name, NAMES)
        raise UsageError(f"--backend {name}: no such backend.{hint} Known: {', '.join(NAMES)}")
    if name in ("auto", "torch"):
        return
    if not installed(name):
        raise UsageError(f"--backend {name} is not installed; run: pip install 'sodcli[{name}]'")
    if wish.device not in ("auto", "cpu"):
        raise UsageError(
            f"--backend {name} runs on the CPU; use --backend torch with --device {wish.device}"
        )
    if wish.compiled:
        raise UsageError(f"--compile is for --backend torch, not {name}")
    if wish.half and name == "onnx":
        raise UsageError("--backend onnx computes in float32; use torch or openvino with --half")


def decide(wish: Wish, spec: ModelSpec, graphs: Graphs, *, reparam: bool = True) -> str:
    """Return the backend for a network: the fastest of those that are installed, if ``auto``.

    On a GPU that is PyTorch, and on a CPU for networks that would lose by a graph: clip models,
    of which PyTorch computes each frame once instead of once per clip, and those that look at
    large pictures twice, which PyTorch does in strips, in bounded memory. Else OpenVINO, or ONNX
    Runtime for a few pictures, since it starts faster. A graph that does not exist yet takes
    PyTorch to make, so that it is worth it from some number of pictures on.

    Raises:
        UsageError: If the backend that is asked for cannot run the network.
    """
    if wish.backend != "auto":
        if wish.backend != "torch" and not _as_graph(spec, reparam):
            raise UsageError(
                f"--backend {wish.backend} cannot run {spec.name!r}; use --backend torch"
            )
        return wish.backend
    if wish.compiled or wish.device not in ("auto", "cpu") or not _as_graph(spec, reparam):
        return "torch"
    if spec.clip_len > 1 or spec.high_res is not None:
        return "torch"
    if wish.device == "auto" and accelerator_likely() and choose_device().type != "cpu":
        return "torch"
    return _fastest(wish, graphs)


def make_backend(name: str, graphs: "Shelf", threads: int, *, half: bool) -> "GraphBackend":
    """Return the backend ``onnx`` or ``openvino`` for the network of ``graphs``."""
    from sodcli.runtime.backends.graph_backend import GraphBackend

    if name == "onnx":
        from sodcli.runtime.backends import onnx_backend

        return GraphBackend(graphs, onnx_backend.engine(threads))
    from sodcli.runtime.backends import openvino_backend

    return GraphBackend(graphs, openvino_backend.engine(threads, half=half))


def _as_graph(spec: ModelSpec, reparam: bool) -> bool:
    return reparam and spec.task == "saliency"


def _fastest(wish: Wish, graphs: Graphs) -> str:
    if wish.half:
        return "openvino" if installed("openvino") and _has_bfloat16() else "torch"
    known = [name for name in _PACKAGES if installed(name)]
    if not known or not (graphs.here() or (wish.pictures or 0) >= _MANY):
        return "torch"
    many = wish.pictures is None or wish.pictures >= _MANY
    return known[-1] if many else known[0]


def _has_bfloat16() -> bool:
    """Say whether the processor multiplies bfloat16; only Linux tells without help."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
