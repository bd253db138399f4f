"""``sod export``: a network as an ONNX file for other programs, proven to answer the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Final

import numpy as np

from sodcli import __version__
from sodcli.errors import UsageError, WeightsError
from sodcli.fetch.weights import Supply
from sodcli.imaging.tensors import sigmoid
from sodcli.models import input_shape
from sodcli.registry import ModelSpec, Registry
from sodcli.runtime.backends import Array
from sodcli.runtime.model_source import Blueprint, find_network
from sodcli.runtime.onnx.graph_file import annotate, compact, put_graph, require_packages, to_half
from sodcli.runtime.onnx.quantise import calibration_pictures, to_int8
from sodcli.weights import cache

if TYPE_CHECKING:
    from torch import nn

_SMALLEST: Final = 32
_GREY_LEVEL: Final = 1 / 255
_CHECKED_HW: Final = ((64, 64), (75, 101))  # besides the size that the network is for


@dataclass(frozen=True, slots=True)
class Order:
    """What to export.

    Attributes:
        source: A model of models.toml, or a weights file.
        target: The ``.onnx`` file to write.
        model: The model of a weights file; by default the one it fits.
        size: Side in pixels that film models are fixed to; of image models it goes into the
            metadata only, as the size to use.
        clip: Frames that film models are fixed to.
        half: Compute in float16.
        int8: Compute in 8-bit integers, with ranges measured on the photos of this folder.
        tol: Largest difference of the maps, in [0, 1], that is still the same network; of ``int8``
            the mean one. By default one grey level, and five of ``int8``.
    """

    source: str
    target: Path
    model: str | None = None
    size: int | None = None
    clip: int | None = None
    half: bool = False
    int8: Path | None = None
    tol: float | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """What :func:`export_file` did.

    Attributes:
        model: Name of the model.
        target: The file that was written.
        difference: Of the maps from PyTorch's: the largest on random input, or of ``int8`` the
            mean on the photos.
        size: Bytes of the file.
        shape: Of its input; words stand for what is free.
    """

    model: str
    target: Path
    difference: float
    size: int
    shape: tuple[int | str, ...]


def export_file(order: Order, registry: Registry, supply: Supply | None = None) -> Exported:
    """Write a network as ONNX: image models for any batch and size, film models for one clip.

    Raises:
        UsageError: If a package is missing, or the order contradicts itself.
        WeightsError: If the graph's maps differ by more than ``order.tol`` from the network's;
            nothing is written then.
        SinkError: If the file cannot be written.
    """
    require_packages()
    if order.target.suffix != ".onnx":
        raise UsageError(f"{order.target}: graphs are written as .onnx")
    if order.target.is_dir():
        raise UsageError(f"{order.target}: is a folder; name a file")
    network = _network(order, registry, supply)
    spec = network.spec
    side = order.size or network.trained or spec.input_hw[0]
    _check(spec, order, side)
    from sodcli.runtime.onnx.trace import graph_of

    shape = input_shape(spec, (side, side), clip=order.clip)
    module = network.build()
    data = graph_of(spec, module, shape=shape if spec.clip_len > 1 else None)
    data, difference = _finished(data, module, spec, shape, order)
    _check_difference(difference, order)
    data = annotate(data, about(network, shape))
    put_graph(order.target, data)
    free = shape if spec.clip_len > 1 else ("N", 3, "H", "W")
    return Exported(spec.name, order.target, difference, len(data), free)


def about(network: Blueprint, shape: Sequence[int]) -> dict[str, str]:
    """Return the metadata of a graph: how to use it, and what may be done with it.

    Args:
        network: What it is of.
        shape: Of its input, as it is best used.
    """
    spec = network.spec
    entry = network.registry.weights.get(spec.weights or "")
    known = entry is not None and network.path == cache.stored(entry)
    return {
        "model": spec.name,
        "paper": spec.paper,
        "mean": " ".join(map(str, spec.mean)),
        "std": " ".join(map(str, spec.std)),
        "colours": "RGB in [0, 1], then normalised",
        "output": "logits; the saliency is their sigmoid",
        "size": f"{shape[-2]}x{shape[-1]}",
        "clip": str(shape[1]) if spec.clip_len > 1 else "1",
        "license": spec.license,
        "weights_license": entry.license if known and entry is not None else "unknown",
        "weights_sha256": network.sha256,
        "sodcli": __version__,
    }


def _network(order: Order, registry: Registry, supply: Supply | None) -> Blueprint:
    if order.source in registry.models:
        if order.model not in (None, order.source):
            raise UsageError(f"{order.source} is a model already; leave -m {order.model} out")
        return find_network(order.source, None, registry, supply)
    return find_network(order.model, order.source, registry, supply)


def _check(spec: ModelSpec, order: Order, side: int) -> None:
    if spec.task != "saliency":
        raise UsageError(f"{spec.name!r} makes no saliency maps and cannot be exported")
    if order.clip is not None and spec.clip_len == 1:
        raise UsageError(f"--clip is for film models; {spec.name!r} takes pictures")
    if order.int8 is not None and (order.half or spec.clip_len > 1):
        raise UsageError("--int8 is for models of pictures, and without --half")
    if side < _SMALLEST:
        raise UsageError(f"--size {side}: the network needs at least {_SMALLEST} pixels")


def _finished(
    data: bytes, module: "nn.Module", spec: ModelSpec, shape: tuple[int, ...], order: Order
) -> tuple[bytes, float]:
    """Return the graph in the precision that is wanted, and the difference of its maps."""
    if order.int8 is not None:
        pictures = calibration_pictures(order.int8, spec, shape[-1])
        data = to_int8(data, pictures)
        apart = _differences(data, module, pictures)
        return data, fmean(float(one.mean()) for one in apart)
    data = to_half(data) if order.half else compact(data)
    apart = _differences(data, module, _random_inputs(spec, shape))
    return data, max(float(one.max(initial=0.0)) for one in apart)


def _check_difference(difference: float, order: Order) -> None:
    tol = order.tol
    if tol is None:
        tol = _GREY_LEVEL if order.int8 is None else 5 * _GREY_LEVEL
    if not difference <= tol:
        raise WeightsError(
            f"{order.source}: the graph's maps differ by {difference:.3g}, more than "
            f"--tol {tol:.2g}; nothing was written"
        )


def _random_inputs(spec: ModelSpec, shape: tuple[int, ...]) -> list[Array]:
    """Return the same numbers every time, for pictures at several sizes."""
    import torch

    shapes = [shape]
    if spec.clip_len == 1:
        shapes += ((2, 3, *size_hw) for size_hw in _CHECKED_HW)
    return [torch.randn(one, generator=torch.Generator().manual_seed(0)).numpy() for one in shapes]


def _differences(data: bytes, module: "nn.Module", inputs: Sequence[Array]) -> Iterator[Array]:
    """Yield how far the maps of a graph are from those of a network, for each input, in [0, 1]."""
    import onnxruntime
    import torch

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    for x in inputs:
        with torch.inference_mode():
            ours: Array = module(torch.from_numpy(x)).logits.numpy()
        theirs: Array = session.run(None, {"x": x})[0]
        yield np.abs(sigmoid(ours) - sigmoid(theirs))
