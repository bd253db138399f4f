"""Read the metadata and the constants of ONNX files; the package onnx is not needed.

An ONNX file is a protobuf message of the type ``ModelProto`` (onnx.proto). Fields that are not
named below are skipped.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import WeightsError
from sodcli.files import open_regular, read_regular
from sodcli.text import reason_of

_GRAPH, _METADATA = 7, 14  # fields of ModelProto
_KEY, _VALUE = 1, 2  # StringStringEntryProto
_NODE, _INITIALIZER = 1, 5  # GraphProto
_ATTRIBUTE, _TENSOR = 5, 5  # NodeProto; AttributeProto
_TYPE, _FLOATS, _NAME, _RAW, _DOUBLES = 2, 4, 8, 9, 10  # TensorProto
_FLOAT_TYPES: Final = {1: np.float32, 10: np.float16, 11: np.float64}  # TensorProto.DataType
_MOST_BYTES: Final = 2**31  # protobuf's own limit
_VARINT_BYTES: Final = 10
_FIXED_BYTES: Final = {1: 8, 5: 4}  # by wire type
_NONE: Final = memoryview(b"")


class _OnDisk:
    """The bytes of a file; each slice is read when it is taken."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> memoryview:
        self._file.seek(part.start)
        return memoryview(self._file.read(part.stop - part.start))


def onnx_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file; its graph, which is nearly all of it, is not read.

    Raises:
        WeightsError: If it cannot be read or is not an ONNX file.
    """
    with _explained(path), open_regular(path) as file:
        fields = list(_fields(_OnDisk(file), skipped=_GRAPH))
    if all(number != _GRAPH for number, _ in fields):
        raise WeightsError(f"{path}: not an ONNX file")
    try:
        entries = [dict(_fields(value)) for number, value in fields if number == _METADATA]
    except ValueError as error:
        raise WeightsError(f"{path}: damaged ONNX file") from error
    return {_text(one.get(_KEY, _NONE)): _text(one.get(_VALUE, _NONE)) for one in entries}


def require_finite(path: Path) -> None:
    """Check the weights of an ONNX file: engines may turn NaN into a number while they compute.

    Raises:
        WeightsError: If a weight is NaN or infinite, or the file is not an ONNX file.
    """
    with _explained(path):
        fields = list(_fields(memoryview(read_regular(path, _MOST_BYTES))))
    try:
        tensors = [one for number, graph in fields if number == _GRAPH for one in _tensors(graph)]
        named = map(_values, tensors)
        damaged = next((name for name, data in named if not np.isfinite(data).all()), None)
    except ValueError as error:
        raise WeightsError(f"{path}: damaged ONNX file") from error
    if damaged is not None:
        raise WeightsError(f"{path}: {damaged} holds values that are not finite (NaN or infinity)")


def _tensors(graph: memoryview) -> Iterator[memoryview]:
    """Yield the tensors of a graph: initialisers, and those of Constant nodes."""
    for number, value in _fields(graph):
        if number == _INITIALIZER:
            yield value
        elif number == _NODE:
            for attribute in (one for kind, one in _fields(value) if kind == _ATTRIBUTE):
                yield from (one for kind, one in _fields(attribute) if kind == _TENSOR)


def _values(tensor: memoryview) -> tuple[str, NDArray[Any]]:
    """Return the name of a tensor and its values; none unless of float16, 32 or 64."""
    parts = dict(_fields(tensor))
    dtype = _FLOAT_TYPES.get(int.from_bytes(parts.get(_TYPE, _NONE), "little"))
    data = next((parts[field] for field in (_RAW, _FLOATS, _DOUBLES) if field in parts), _NONE)
    values = np.frombuffer(data if dtype else _NONE, dtype or np.float32)
    return _text(parts.get(_NAME, _NONE)), values


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(f"{path}: {reason_of(error).lower()}") from error
    except ValueError as error:
        raise WeightsError(f"{path}: not an ONNX file, or damaged") from error


def _fields(
    message: memoryview | _OnDisk, skipped: int | None = None
) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and the bytes of each field; integers as little-endian bytes.

    Args:
        message: The fields.
        skipped: The number of a field whose bytes are left unread: it comes without them.

    Raises:
        ValueError: If this is not a protobuf message.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if number == 0:  # such as in a file of zeros, an unfinished download
            raise ValueError("field numbers start at 1")
        if wire == 0:
            value, place = _varint(message, place)
            yield number, memoryview(value.to_bytes(_VARINT_BYTES, "little"))
            continue
        length = _FIXED_BYTES.get(wire, 0)
        if wire == 2:
            length, place = _varint(message, place)
        elif not length:
            raise ValueError(f"no such wire type: {wire}")
        if length > len(message) - place:
            raise ValueError("ends within a field")
        yield number, _NONE if number == skipped else message[place : place + length]
        place += length


def _varint(message: memoryview | _OnDisk, place: int) -> tuple[int, int]:
    """Return the number at ``place`` and the place after it."""
    value = 0
    for step, byte in enumerate(message[place : place + _VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * step
        if byte < 0x80:
            return value, place + step + 1
    raise ValueError("ends within a number")


def _text(data: memoryview) -> str:
    return bytes(data).decode("utf-8", "replace")
