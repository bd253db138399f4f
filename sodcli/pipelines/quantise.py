"""Graphs in 8-bit integers: photos show in which range each layer's answers lie."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sodcli.errors import SourceError
from sodcli.imaging.tensors import sigmoid
from sodcli.io.sources import find_inputs, read_input
from sodcli.pipelines.backends import Array
from sodcli.pipelines.predictor import Predictor

if TYPE_CHECKING:
    from torch import nn

    from sodcli.registry import ModelSpec

_MOST: Final = 100  # photos; more of them change little
_INPUT: Final = "x"


def calibration_pictures(
    folder: Path, spec: "ModelSpec", module: "nn.Module", side: int
) -> list[Array]:
    """Return what the network sees of up to 100 photos of a folder, spread over all of them.

    Returns:
        ``(1, 3, side, side)`` float32 each, normalised.

    Raises:
        SourceError: If the folder holds no pictures, or one that cannot be read.
    """
    import torch

    from sodcli.pipelines.backends.torch_backend import TorchBackend

    backend = TorchBackend(module, torch.device("cpu"), half=False)
    predictor = Predictor(spec, module, backend, size=side)
    photos = [one for one in find_inputs([str(folder)], recursive=True) if one.kind == "picture"]
    if not photos:
        raise SourceError(f"{folder}: no pictures")
    chosen = photos[:: -(-len(photos) // _MOST)]
    return [predictor.prepare(read_input(one))[None] for one in chosen]


def to_int8(data: bytes, pictures: Sequence[Array]) -> bytes:
    """Return the graph with convolutions in 8-bit integers, weights scaled channel by channel.

    What goes in and comes out stays float32. Activations are quantised between the smallest and
    the largest value that ``pictures`` bring about.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="sod-int8-") as folder, _quiet():
        plain, fused, small = (Path(folder, f"{n}.onnx") for n in ("plain", "fused", "int8"))
        plain.write_bytes(data)
        quant_pre_process(plain, fused, skip_symbolic_shape=True)  # it cannot follow free sizes
        quantize_static(
            fused,
            small,
            _reader(pictures),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return small.read_bytes()


def mean_difference(data: bytes, module: "nn.Module", pictures: Sequence[Array]) -> float:
    """Return how far the maps of a graph are from those of a network on average, in [0, 1]."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    apart = []
    for x in pictures:
        with torch.inference_mode():
            ours: Array = module(torch.from_numpy(x)).logits.numpy()
        theirs: Array = session.run(None, {_INPUT: x})[0]
        apart.append(float(np.abs(sigmoid(ours) - sigmoid(theirs)).mean()))
    return sum(apart) / len(apart)


def _reader(pictures: Sequence[Array]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(pictures)

        def get_next(self) -> dict[str, Array] | None:
            x = next(self._rest, None)
            return None if x is None else {_INPUT: x}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's advice to its developers from the user's screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
