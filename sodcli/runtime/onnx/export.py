"""``sod export``: write a network as an ONNX file and check that its maps are the same.

``python -m sodcli.runtime.onnx.export`` writes the graphs of the built-in weights next to them; run
it whenever the built-in weights change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sodcli import __version__
from sodcli.errors import UsageError, WeightsError
from sodcli.fetch.weights import Supply
from sodcli.files import write_whole
from sodcli.imaging.tensors import sigmoid
from sodcli.models import input_shape
from sodcli.registry import ModelSpec, Registry, default_registry
from sodcli.runtime.backends import Array
from sodcli.runtime.high_resolution import SMALLEST_SIDE
from sodcli.runtime.model_source import ModelSource, find_network
from sodcli.runtime.onnx.graph_file import (
    annotate,
    calibration_pictures,
    compact,
    fold_constants,
    require_packages,
    to_half,
    to_int8,
)
from sodcli.weights import cache

if TYPE_CHECKING:
    from torch import nn

_ONE_LEVEL: Final = 1 / 255
_CHECKED_HW: Final = ((64, 64), (75, 101))  # checked in addition to the network's input size
_INPUTS: Final = {
    "plain": "RGB in [0, 1], then normalised",
    "normalised": "RGB in [0, 1]",
    "bytes": "RGB from 0 to 255",
}


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
        static: Fix the batch and the size, and compute all that depends on them beforehand.
        batch: Pictures, or clips, per call of a static graph.
        normalised: Take RGB in [0, 1] and normalise it in the graph.
        uint8: Take RGB in bytes ``(N, H, W, 3)`` and give the saliency in bytes ``(N, H, W)``; for
            image models.
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
    static: bool = False
    batch: int | None = None
    normalised: bool = False
    uint8: bool = False
    tol: float | None = None

    @property
    def kind(self) -> str:
        """The kind of graph, see :func:`sodcli.runtime.onnx.trace.graph_of`."""
        return "bytes" if self.uint8 else "normalised" if self.normalised else "plain"


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of :func:`export_file`.

    Attributes:
        model: Name of the model.
        target: The file that was written.
        difference: Absolute difference between the graph's maps and PyTorch's: the largest on
            pictures drawn by code, or for ``int8`` the mean on the photos.
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
    """Write a network as ONNX: film and static graphs for one input shape, others for any.

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

    shape = input_shape(spec, (side, side), batch=settings.batch or 1, clip=settings.clip)
    module, is_fixed = source.build(), settings.static or spec.clip_len > 1
    data = graph_of(spec, module, settings.kind, shape if is_fixed else None)
    data, difference = _finished(data, module, spec, shape, settings)
    _check_difference(difference, settings)
    taken: tuple[int | str, ...] = shape if is_fixed else ("N", 3, "H", "W")
    if settings.uint8:
        taken = (taken[0], *taken[2:], taken[1])
    data = annotate(data, metadata(source, shape, settings.kind, taken))
    write_whole(settings.target, data)
    return Exported(spec.name, settings.target, difference, len(data), taken)


def metadata(
    source: ModelSource, shape: Sequence[int], kind: str, taken: Sequence[int | str]
) -> dict[str, str]:
    """Return the metadata of a graph: how to use it, licence and terms.

    Args:
        source: The network.
        shape: The recommended shape of the input, channels first.
        kind: The kind of graph, see :func:`sodcli.runtime.onnx.trace.graph_of`.
        taken: The shape of the input that the graph takes; letters stand for dynamic axes.
    """
    spec, terms = _as_taken(source.spec, kind), source.terms
    is_bytes = kind == "bytes"
    return {
        "model": spec.name,
        "paper": spec.paper,
        "mean": " ".join(map(str, spec.mean)),
        "std": " ".join(map(str, spec.std)),
        "colours": _INPUTS[kind],
        "input_type": "uint8" if is_bytes else "float32",
        "output": "saliency from 0 to 255" if is_bytes else "logits; the saliency is their sigmoid",
        "shape": " ".join(map(str, taken)),
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
    if settings.batch is not None and not settings.static:
        raise UsageError("--batch fixes the pictures per call; it needs --static")
    if settings.uint8 and spec.clip_len > 1:
        raise UsageError("--uint8 is for models of pictures")
    if side < SMALLEST_SIDE:
        raise UsageError(f"--size {side}: the network needs at least {SMALLEST_SIDE} pixels")


def _finished(
    data: bytes,
    module: "nn.Module",
    spec: ModelSpec,
    shape: tuple[int, ...],
    settings: ExportSettings,
) -> tuple[bytes, float]:
    """Return the graph in the requested precision, and the difference of its maps."""
    from sodcli.runtime.onnx.trace import wrap

    reference = wrap(settings.kind, spec, module)
    if settings.static:
        data = fold_constants(data)
    if settings.int8 is not None:
        photos = calibration_pictures(settings.int8, _as_taken(spec, "bytes"), shape[-1])
        pictures = [_as_input(one.repeat(shape[0], 0), spec, settings.kind) for one in photos]
        data = to_int8(data, pictures)
        apart = _differences(data, reference, pictures)
        return data, fmean(float(one.mean()) for one in apart)
    if settings.half:
        data = to_half(data)
    elif not settings.static:
        data = compact(data)
    apart = _differences(data, reference, _check_inputs(spec, shape, settings))
    largest = [one.max(initial=0.0) for one in apart]
    return data, float(np.max(largest))  # NaN if one is NaN, unlike max()


def _as_taken(spec: ModelSpec, kind: str) -> ModelSpec:
    """Return ``spec`` with the mean and deviation that are left to the user of a graph."""
    return spec if kind == "plain" else replace(spec, mean=(0.0,) * 3, std=(1.0,) * 3)


def _as_input(pictures: Array, spec: ModelSpec, kind: str) -> NDArray[Any]:
    """Return RGB in [0, 1], ``(N, 3, H, W)`` or ``(N, T, 3, H, W)``, as a graph takes it."""
    if kind == "bytes":
        return np.rint(pictures.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    taken = _as_taken(spec, kind)
    mean, std = (np.array(one, np.float32)[:, None, None] for one in (taken.mean, taken.std))
    return (pictures - mean) / std


def _check_difference(difference: float, settings: ExportSettings) -> None:
    tol = settings.tol
    if tol is None:
        tol = _ONE_LEVEL if settings.int8 is None else 5 * _ONE_LEVEL
    if not difference <= tol:
        raise WeightsError(
            f"{settings.source}: the graph's maps differ by {difference:.3g}, more than "
            f"--tol {tol:.2g}; nothing was written"
        )


def _check_inputs(
    spec: ModelSpec, shape: tuple[int, ...], settings: ExportSettings
) -> list[NDArray[Any]]:
    """Return pictures with a subject as input, of several sizes if the graph takes any."""
    shapes = [shape]
    if spec.clip_len == 1 and not settings.static:
        shapes += ((2, 3, *size_hw) for size_hw in _CHECKED_HW)
    return [_as_input(_discs(one), spec, settings.kind) for one in shapes]


def _discs(shape: tuple[int, ...]) -> Array:
    """Return RGB in [0, 1]: bright discs on a dark gradient, with noise; all different."""
    rng = np.random.default_rng(0)
    height, width = shape[-2:]
    rows, columns = np.arange(height)[:, None] / height, np.arange(width) / width
    centres = rng.uniform(0.3, 0.7, (2, *shape[:-3], 1, 1, 1))
    discs = (rows - centres[0]) ** 2 + (columns - centres[1]) ** 2 < 0.05
    light = np.where(discs, rng.uniform(0.5, 1, (*shape[:-2], 1, 1)), 0.1 + 0.2 * columns)
    return np.clip(light + rng.normal(0, 0.02, shape), 0, 1).astype(np.float32)


def _differences(
    data: bytes, reference: "nn.Module", inputs: Sequence[NDArray[Any]]
) -> Iterator[Array]:
    """Yield the absolute difference between the graph's and the network's maps for each input."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for x in inputs:
        with torch.inference_mode():
            ours = reference(torch.from_numpy(x)).numpy()
        theirs = session.run(None, {"x": x})[0]
        if theirs.dtype == np.uint8:
            yield np.abs(ours.astype(int) - theirs) / 255
        else:
            yield np.abs(sigmoid(ours) - sigmoid(theirs))


def write_shipped_graphs() -> None:
    """Write the graph of each file of built-in weights next to it.

    Raises:
        SodError: See :func:`export_file`.
    """
    registry = default_registry()
    for entry in registry.weights.values():
        if entry.builtin:
            weights = cache.stored(entry)
            target = weights.with_suffix(".onnx")
            export_file(ExportSettings(str(weights), target, entry.model, tol=1e-4), registry)


if __name__ == "__main__":
    write_shipped_graphs()
