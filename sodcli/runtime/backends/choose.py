"""Choose the backend for a network."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sodcli.errors import UsageError
from sodcli.registry import ModelSpec
from sodcli.runtime.backends.graph_cache import Graphs
from sodcli.runtime.device import accelerator_likely, check_name, choose_device
from sodcli.text import did_you_mean

if TYPE_CHECKING:
    from sodcli.runtime.backends.graph_backend import GraphBackend, GraphSource

NAMES: Final = ("auto", "torch", "onnx", "openvino")
_PACKAGES: Final = {"onnx": "onnxruntime", "openvino": "openvino"}
_OPENVINO_PAYS: Final = 100  # number of pictures from which OpenVINO's slower start pays off
_MAKING_PAYS: Final = 10  # number of pictures from which making a graph, which takes seconds, pays
_FASTER_IN_TORCH: Final = ("rcrnet",)  # its shortcut for sides of 16 n cannot be in a graph


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """The user's options for the backend.

    Attributes:
        backend: One of ``NAMES``.
        device: A name for :func:`sodcli.runtime.device.choose_device`.
        half: Compute in bfloat16.
        compiled: Use ``torch.compile``.
        pictures: Number of pictures to process; ``None`` if unknown.
    """

    backend: str = "auto"
    device: str = "auto"
    half: bool = False
    compiled: bool = False
    pictures: int | None = None


def installed(backend: str) -> bool:
    """Return True if the package of a backend is installed, without importing it."""
    return backend == "torch" or find_spec(_PACKAGES[backend]) is not None


def check_request(request: BackendRequest) -> None:
    """Check the options that do not depend on the model.

    Raises:
        UsageError: If options contradict each other, or the backend is unknown or not installed.
    """
    check_name(request.device)
    name = request.backend
    if name not in NAMES:
        hint = did_you_mean(name, NAMES)
        raise UsageError(f"no backend named {name!r}.{hint} Known: {', '.join(NAMES)}")
    if name in ("auto", "torch"):
        return
    if not installed(name):
        raise UsageError(f"backend {name} is not installed; run: pip install {_PACKAGES[name]}")
    if request.device not in ("auto", "cpu"):
        raise UsageError(
            f"backend {name} runs on the CPU; use backend torch with device {request.device}"
        )
    if request.compiled:
        raise UsageError(f"only backend torch can compile the network, not {name}")
    if request.half and name == "onnx":
        raise UsageError("backend onnx computes in float32; use torch or openvino for bfloat16")


def decide(
    request: BackendRequest, spec: ModelSpec, graphs: Graphs, *, reparam: bool = True
) -> str:
    """Return the name of the backend for a network; for ``auto`` the fastest that is installed.

    On a GPU that is PyTorch. On a CPU it is PyTorch for clip models, because it computes the
    features of each frame once instead of once per clip; for models with a second, larger pass,
    because it computes that pass in strips, in bounded memory; and for RCRNet, because a graph for
    any size computes twice as much. Otherwise it is OpenVINO, or ONNX Runtime for a few pictures
    because it starts faster. Making a graph that does not exist yet requires PyTorch and the
    package onnx and takes seconds; without them, or for fewer than ten pictures, PyTorch runs the
    network.

    Raises:
        UsageError: If the requested backend cannot run the network.
    """
    if request.backend != "auto":
        if request.backend != "torch" and not _has_graph(spec, reparam):
            raise UsageError(
                f"backend {request.backend} cannot run {spec.name!r}; use backend torch"
            )
        return request.backend
    if request.compiled or request.device not in ("auto", "cpu") or not _has_graph(spec, reparam):
        return "torch"
    if spec.clip_len > 1 or spec.high_res is not None or spec.arch in _FASTER_IN_TORCH:
        return "torch"
    if request.device == "auto" and accelerator_likely() and choose_device().type != "cpu":
        return "torch"
    return _fastest(request, graphs)


def decide_for_graph(request: BackendRequest, path: Path) -> str:
    """Return the name of the backend for an exported graph; for ``auto`` the fastest installed.

    Raises:
        UsageError: If PyTorch, ``torch.compile`` or a GPU is requested, or no package that can run
            the graph is installed.
    """
    if request.backend == "torch" or request.compiled or request.device not in ("auto", "cpu"):
        raise UsageError(f"{path}: an ONNX graph runs on the CPU, by backend onnx or openvino")
    if request.backend != "auto":
        return request.backend
    if request.half:
        check_request(replace(request, backend="openvino"))
        return "openvino"
    if not any(map(installed, _PACKAGES)):
        raise UsageError(f"{path}: to run an ONNX graph, pip install onnxruntime")
    return _fastest_engine(request)


def make_backend(
    name: str,
    graphs: "GraphSource",
    threads: int,
    *,
    half: bool,
    fixed_shape: tuple[int, ...] | None = None,
) -> "GraphBackend":
    """Return the backend ``onnx`` or ``openvino`` for the network of ``graphs``.

    ``fixed_shape`` is the only input shape that the graph takes; ``None`` for any batch and size.
    """
    from sodcli.runtime.backends.engines import make_engine
    from sodcli.runtime.backends.graph_backend import GraphBackend

    return GraphBackend(graphs, make_engine(name, threads, half=half), fixed_shape)


def _has_graph(spec: ModelSpec, reparam: bool) -> bool:
    return reparam and spec.task == "saliency"


def _fastest(request: BackendRequest, graphs: Graphs) -> str:
    if request.half:
        return "openvino" if installed("openvino") and _has_bfloat16() else "torch"
    makes = _expected_pictures(request) >= _MAKING_PAYS and find_spec("onnx") is not None
    if not any(map(installed, _PACKAGES)) or not (graphs.exist() or makes):
        return "torch"
    return _fastest_engine(request)


def _fastest_engine(request: BackendRequest) -> str:
    """Return the faster of the installed engines, of which there is at least one."""
    known = [name for name in _PACKAGES if installed(name)]
    return known[-1] if _expected_pictures(request) >= _OPENVINO_PAYS else known[0]


def _expected_pictures(request: BackendRequest) -> int:
    return _OPENVINO_PAYS if request.pictures is None else request.pictures


def _has_bfloat16() -> bool:
    """Return True if the processor multiplies bfloat16 in hardware; detected on Linux only."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
