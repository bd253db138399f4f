"""Trace networks into ONNX graphs, the format that the other backends read."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.onnx.symbolic_helper import parse_args

from sodcli.files import write_whole
from sodcli.registry import ModelSpec

OPSET: Final = 17
# Odd sides, so that the traced graph contains every resize and padding that a size can require.
_TRACED_HW: Final = (67, 71)
_SMALL_HW: Final = (96, 96)
_ANY: Final = {0: "N", 2: "H", 3: "W"}


class Plain(nn.Module):
    """A network that returns its logits only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits for any model's input."""
        logits: Tensor = self.network(x).logits
        return logits


class Blended(nn.Module):
    """InSPyReNet's pyramid blending of a picture at two sizes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, x_lr: Tensor) -> Tensor:
        """Return the logits at the size of ``x``."""
        logits: Tensor = self.network.blended(x, x_lr)  # type: ignore[operator]
        return logits


def write_graph(
    path: Path, spec: ModelSpec, module: nn.Module, kind: str, shape: Sequence[int] | None
) -> None:
    """Write ``module`` as a graph to ``path``; for the other arguments see :func:`graph_of`.

    Raises:
        SinkError: If the file cannot be written.
    """
    write_whole(path, graph_of(spec, module, kind, shape))


def graph_of(
    spec: ModelSpec, module: nn.Module, kind: str = "plain", shape: Sequence[int] | None = None
) -> bytes:
    """Return ``module`` as an ONNX file: float32, input ``x`` (and ``x_lr``), output ``logits``.

    Args:
        spec: Its entry in models.toml.
        module: The network, in eval mode, on the CPU, preferably folded.
        kind: ``"plain"``, or ``"blended"`` for InSPyReNet's pyramid blending of two inputs.
        shape: The fixed shape of the input; ``None`` for any batch and size (image models only).
    """
    shapes = [shape or (2, 3, *_TRACED_HW)]
    if kind == "blended":
        shapes.append((2, 3, *_SMALL_HW))
    names = ["x", "x_lr"][: len(shapes)]
    wrapped = Blended(module) if kind == "blended" else Plain(module)
    axes = {} if shape is not None else dict.fromkeys((*names, "logits"), _ANY)
    if "x_lr" in axes:
        axes["x_lr"] = {0: "N", 2: "H_lr", 3: "W_lr"}
    buffer = io.BytesIO()
    inputs = tuple(torch.randn(one, generator=torch.Generator().manual_seed(0)) for one in shapes)
    with _no_warnings(), numeric_padding(wrapped), torch.no_grad():
        torch.onnx.export(
            wrapped.eval(),
            inputs,
            buffer,  # type: ignore[arg-type]
            input_names=names,
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,  # the newer exporter takes minutes instead of seconds
        )
    return buffer.getvalue()


@contextmanager
def numeric_padding(module: nn.Module) -> Iterator[None]:
    """Replace the padding "same" of convolutions by numbers, which all engines support."""
    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.padding == "same"]
    try:
        for conv in convs:
            pairs = zip(conv.kernel_size, conv.dilation, strict=True)
            conv.padding = tuple((side - 1) * rate // 2 for side, rate in pairs)
        yield
    finally:
        for conv in convs:
            conv.padding = "same"


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Suppress the exporter's deprecation warning and its warnings about sizes in the graph."""
    exporter: Any = torch.onnx
    exporter.register_custom_op_symbolic("aten::mT", _transposed, OPSET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@parse_args("v")
def _transposed(graph: Any, x: Any) -> Any:
    """Export ``x.mT``, which the exporter does not support."""
    order = list(range(x.type().dim()))
    order[-2:] = order[:-3:-1]
    return graph.op("Transpose", x, perm_i=order)
