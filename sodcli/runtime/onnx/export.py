"""``sod export``: write a network as an ONNX file and check that its maps are the same.

``python -m sodcli.runtime.onnx.export`` writes the graphs of the built-in weights next to them; run
it whenever the built-in weights change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Final

import numpy as np

from sodcli import __version__
from sodcli.errors import UsageError, WeightsError
from sodcli.fetch.weights import Supply
from sodcli.files import write_whole
from sodcli.imaging.tensors import sigmoid
from sodcli.models import input_shape
from sodcli.registry import ModelSpec, Registry, default_registry
from sodcli.runtime.backends import Array
from sodcli.runtime.model_source import ModelSource, find_network
from sodcli.runtime.onnx.graph_file import (
    annotate,
    calibration_pictures,
    compact,
    require_packages,
    to_half,
    to_int8,
)
from sodcli.weights import cache

if TYPE_CHECKING:
    from torch import nn

_SMALLEST: Final = 32
_ONE_LEVEL: Final = 1 / 255
_CHECKED_HW: Final = ((64, 64), (75, 101))  # checked in addition to the network's input size


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What to export.

    Attributes:
        source: A model in models.toml, or a weights file.
        target: The ``.onnx`` file to write.
        model: The model of a weights file; by default the one whose keys and shapes match.
        size: Side in pixels of the input. It is fixed for film models; for image models it is only
            written to the metadata, as the recommended size.
        clip: Frames in a clip, for film models.
        half: Compute in float16.
        int8: Compute in 8-bit integers, with value ranges calibrated on the photos in this folder.
        tol: Largest allowed absolute difference of the maps, in [0, 1]; for ``int8``, largest
            allowed mean absolute difference. By default 1/255, and 5/255 for ``int8``.
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
    """The result of :func:`export_file`.

    Attributes:
        model: Name of the model.
        target: The file that was written.
        difference: Absolute difference between the graph's maps and PyTorch's: the largest on
            random input, or for ``int8`` the mean on the photos.
        size: Size of the file in bytes.
        shape: Shape of the input; letters stand for dynamic axes.
    """

    model: str
    target: Path
    difference: float
    size: int
    shape: tuple[int | str, ...]


def export_file(
    settings: ExportSettings, registry: Registry, supply: Supply | None = None
) -> Exported:
    """Write a network as ONNX: image models for any batch and size, film models for one clip.

    Raises:
        UsageError: If a package is missing, or settings contradict each other.
        WeightsError: If the graph's maps differ by more than ``settings.tol`` from the network's;
            nothing is written then.
        SinkError: If the file cannot be written.
    """
    require_packages()
    if settings.target.suffix != ".onnx":
        raise UsageError(f"{settings.target}: graphs are written as .onnx")
    if settings.target.is_dir():
        raise UsageError(f"{settings.target}: is a folder; name a file")
    source = _source(settings, registry, supply)
    spec = source.spec
    side = settings.size or source.trained or spec.input_hw[0]
    _check(spec, settings, side)
    from sodcli.runtime.onnx.trace import graph_of

    shape = input_shape(spec, (side, side), clip=settings.clip)
    module = source.build()
    data = graph_of(spec, module, shape=shape if spec.clip_len > 1 else None)
    data, difference = _finished(data, module, spec, shape, settings)
    _check_difference(difference, settings)
    data = annotate(data, metadata(source, shape))
    write_whole(settings.target, data)
    free = shape if spec.clip_len > 1 else ("N", 3, "H", "W")
    return Exported(spec.name, settings.target, difference, len(data), free)


def metadata(source: ModelSource, shape: Sequence[int]) -> dict[str, str]:
    """Return the metadata of a graph: how to use it, licence and terms.

    Args:
        source: The network.
        shape: The recommended shape of the input.
    """
    spec, terms = source.spec, source.terms
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
        "weights_license": terms.pop("license", "unknown"),
        **{f"weights_{key}": value for key, value in terms.items()},
        "weights_sha256": source.sha256,
        "sodcli": __version__,
    }


def _source(settings: ExportSettings, registry: Registry, supply: Supply | None) -> ModelSource:
    if settings.source in registry.models:
        if settings.model not in (None, settings.source):
            raise UsageError(f"{settings.source} is a model already; leave -m {settings.model} out")
        return find_network(settings.source, None, registry, supply)
    return find_network(settings.model, settings.source, registry, supply)


def _check(spec: ModelSpec, settings: ExportSettings, side: int) -> None:
    if spec.task != "saliency":
        raise UsageError(f"{spec.name!r} makes no saliency maps and cannot be exported")
    if settings.clip is not None and spec.clip_len == 1:
        raise UsageError(f"--clip is for film models; {spec.name!r} takes pictures")
    if settings.int8 is not None and (settings.half or spec.clip_len > 1):
        raise UsageError("--int8 is for models of pictures, and without --half")
    if side < _SMALLEST:
        raise UsageError(f"--size {side}: the network needs at least {_SMALLEST} pixels")


def _finished(
    data: bytes,
    module: "nn.Module",
    spec: ModelSpec,
    shape: tuple[int, ...],
    settings: ExportSettings,
) -> tuple[bytes, float]:
    """Return the graph in the requested precision, and the difference of its maps."""
    if settings.int8 is not None:
        pictures = calibration_pictures(settings.int8, spec, shape[-1])
        data = to_int8(data, pictures)
        apart = _differences(data, module, pictures)
        return data, fmean(float(one.mean()) for one in apart)
    data = to_half(data) if settings.half else compact(data)
    apart = _differences(data, module, _random_inputs(spec, shape))
    return data, max(float(one.max(initial=0.0)) for one in apart)


def _check_difference(difference: float, settings: ExportSettings) -> None:
    tol = settings.tol
    if tol is None:
        tol = _ONE_LEVEL if settings.int8 is None else 5 * _ONE_LEVEL
    if not difference <= tol:
        raise WeightsError(
            f"{settings.source}: the graph's maps differ by {difference:.3g}, more than "
            f"--tol {tol:.2g}; nothing was written"
        )


def _random_inputs(spec: ModelSpec, shape: tuple[int, ...]) -> list[Array]:
    """Return random inputs from a fixed seed, of several sizes for image models."""
    import torch

    shapes = [shape]
    if spec.clip_len == 1:
        shapes += ((2, 3, *size_hw) for size_hw in _CHECKED_HW)
    return [torch.randn(one, generator=torch.Generator().manual_seed(0)).numpy() for one in shapes]


def _differences(data: bytes, module: "nn.Module", inputs: Sequence[Array]) -> Iterator[Array]:
    """Yield the absolute difference between the graph's and the network's maps for each input."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for x in inputs:
        with torch.inference_mode():
            ours: Array = module(torch.from_numpy(x)).logits.numpy()
        theirs: Array = session.run(None, {"x": x})[0]
        yield np.abs(sigmoid(ours) - sigmoid(theirs))


def write_shipped_graphs() -> list[Path]:
    """Write the graph of each file of built-in weights next to it; return the graph files.

    Raises:
        SodError: See :func:`export_file`.
    """
    registry, written = default_registry(), []
    for entry in registry.weights.values():
        if entry.builtin:
            weights = cache.stored(entry)
            target = weights.with_suffix(".onnx")
            export_file(ExportSettings(str(weights), target, entry.model, tol=1e-4), registry)
            written.append(target)
    return written


if __name__ == "__main__":
    write_shipped_graphs()
