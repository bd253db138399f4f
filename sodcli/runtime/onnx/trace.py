"""Networks as graphs: ONNX, the one format that every other backend reads."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.onnx.symbolic_helper import parse_args

from sodcli.registry import ModelSpec
from sodcli.runtime.onnx.graph_file import put_graph

OPSET: Final = 17
# Odd sides, so that every resize and padding that any size may need is in the graph.
_TRACED_HW: Final = (67, 71)
_SMALL_HW: Final = (96, 96)
_ANY: Final = {0: "N", 2: "H", 3: "W"}


class Plain(nn.Module):
    """A network whose only answer is its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, of any model's input."""
        logits: Tensor = self.network(x).logits
        return logits


class Blended(nn.Module):
    """A :class:`sodcli.models._base.BlendingNetwork` on its two sizes."""

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
    """Write ``module`` as a graph; arguments as of :func:`graph_of`.

    Raises:
        SinkError: If the file cannot be written.
    """
    put_graph(path, graph_of(spec, module, kind, shape))


def graph_of(
    spec: ModelSpec, module: nn.Module, kind: str = "plain", shape: Sequence[int] | None = None
) -> bytes:
    """Return ``module`` as an ONNX file: float32, input ``x`` (and ``x_lr``), output ``logits``.

    Args:
        spec: Its entry in models.toml.
        module: The network, in eval mode, on the CPU; best folded.
        kind: ``"plain"``, or ``"blended"`` for a :class:`.BlendingNetwork` on two sizes.
        shape: Of the one input that the graph takes; ``None``, for image models, for any batch and
            size.
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
    with _calmly(), plain_padding(wrapped), torch.no_grad():
        torch.onnx.export(
            wrapped.eval(),
            inputs,
            buffer,  # type: ignore[arg-type]
            input_names=names,
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,  # the other exporter takes minutes for what this one does in seconds
        )
    return buffer.getvalue()


@contextmanager
def plain_padding(module: nn.Module) -> Iterator[None]:
    """Give convolutions padded to the "same" size their padding in numbers: engines want those."""
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
def _calmly() -> Iterator[None]:
    """Keep the exporter's remarks away: it is told to be the old one, and sizes are meant."""
    exporter: Any = torch.onnx
    exporter.register_custom_op_symbolic("aten::mT", _swapped, OPSET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@parse_args("v")
def _swapped(graph: Any, x: Any) -> Any:
    """Write ``x.mT`` down, which the exporter does not know."""
    order = list(range(x.type().dim()))
    order[-2:] = order[:-3:-1]
    return graph.op("Transpose", x, perm_i=order)
