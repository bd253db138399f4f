"""Graphs in 8-bit integers: photos show in which range each layer's answers lie."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sodcli.errors import SourceError
from sodcli.io.sources import find_inputs, read_input
from sodcli.registry import ModelSpec
from sodcli.runtime.backends import Array
from sodcli.runtime.predictor import prepared

_MOST: Final = 100  # photos; more of them change little


def calibration_pictures(folder: Path, spec: ModelSpec, side: int) -> list[Array]:
    """Return what the network sees of up to 100 photos of a folder, spread over all of them.

    Returns:
        ``(1, 3, side, side)`` float32 each, normalised.

    Raises:
        SourceError: If the folder holds no pictures, or one that cannot be read.
    """
    photos = [one for one in find_inputs([str(folder)], recursive=True) if one.kind == "picture"]
    if not photos:
        raise SourceError(f"{folder}: no pictures")
    chosen = photos[:: -(-len(photos) // _MOST)]
    return [prepared(read_input(one), spec, (side, side))[None] for one in chosen]


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


def _reader(pictures: Sequence[Array]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(pictures)

        def get_next(self) -> dict[str, Array] | None:
            x = next(self._rest, None)
            return None if x is None else {"x": x}

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
