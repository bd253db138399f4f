"""Trace networks into ONNX graphs, the format that the other backends read."""

import io
import threading
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
_SMALL_HW: Final = (53, 45)  # of the second input, x_lr
_EXPORTING: Final = threading.Lock()  # PyTorch's exporter keeps its state in globals
_ANY: Final = {0: "N", 2: "H", 3: "W"}
_ANY_BYTES: Final = {0: "N", 1: "H", 2: "W"}


class Plain(nn.Module):
    """A network that returns its logits only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits for any model's input."""
        logits: Tensor = self.network(x).logits
        return logits


class Normalised(nn.Module):
    """A network that takes RGB in ``[0, 1]`` and normalises it itself."""

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.network = network
        self.mean = nn.Buffer(torch.tensor(spec.mean)[:, None, None])
        self.std = nn.Buffer(torch.tensor(spec.std)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits for any model's input."""
        logits: Tensor = self.network((x - self.mean) / self.std).logits
        return logits


class Bytes(Normalised):
    """A network that takes RGB in bytes and gives saliency maps in bytes."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, 3)`` uint8 to ``(N, H, W)`` uint8."""
        logits = super().forward(x.permute(0, 3, 1, 2).float() / 255)
        return (logits[:, 0].sigmoid() * 255).round().to(torch.uint8)


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
        kind: ``"plain"``; ``"normalised"`` (see :class:`Normalised`); ``"bytes"`` (see
            :class:`Bytes`; the output is called ``saliency``); or ``"blended"`` for InSPyReNet's
            pyramid blending of two inputs.
        shape: The fixed shape of the input, channels first for every kind; ``None`` for any batch
            and size (image models only).
    """
    inputs = [_traced_input(kind, shape or (2, 3, *_TRACED_HW))]
    if kind == "blended":
        inputs.append(_traced_input(kind, (2, 3, *_SMALL_HW)))
    names = ["x", "x_lr"][: len(inputs)]
    output = "saliency" if kind == "bytes" else "logits"
    wrapped = wrap(kind, spec, module)
    any_size = _ANY_BYTES if kind == "bytes" else _ANY
    axes = {} if shape is not None else dict.fromkeys((*names, output), any_size)
    if "x_lr" in axes:
        axes["x_lr"] = {0: "N", 2: "H_lr", 3: "W_lr"}
    buffer = io.BytesIO()
    exporter: Any = torch.onnx
    with _EXPORTING, warnings.catch_warnings(), numeric_padding(wrapped), torch.no_grad():
        warnings.simplefilter("ignore")  # of its deprecation, and of sizes in the graph
        exporter.register_custom_op_symbolic("aten::mT", _transposed, OPSET)
        exporter.export(
            wrapped.eval(),
            tuple(inputs),
            buffer,
            input_names=names,
            output_names=[output],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,  # the newer exporter takes minutes instead of seconds
        )
    return buffer.getvalue()


def wrap(kind: str, spec: ModelSpec, module: nn.Module) -> nn.Module:
    """Return the module that a graph of ``kind`` (see :func:`graph_of`) computes."""
    if kind == "blended":
        return Blended(module)
    if kind == "plain":
        return Plain(module)
    return (Bytes if kind == "bytes" else Normalised)(module, spec)


def _traced_input(kind: str, shape: Sequence[int]) -> Tensor:
    x = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0))
    return x.movedim(1, -1).to(torch.uint8) if kind == "bytes" else x


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


@parse_args("v")
def _transposed(graph: Any, x: Any) -> Any:
    """Export ``x.mT``, which the exporter does not support."""
    order = list(range(x.type().dim()))
    order[-2:] = order[:-3:-1]
    return graph.op("Transpose", x, perm_i=order)
