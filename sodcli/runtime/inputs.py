"""Convert the picture types that the Python API accepts into frames."""

import io
import os
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sodcli.errors import SourceError
from sodcli.frame import Frame
from sodcli.io.pictures.decode import DAMAGE
from sodcli.io.pictures.read import decode_picture, read_picture, read_stream

Picture: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[Any]
)
"""A path, the bytes of a picture file, an open binary file, a ``PIL.Image`` of any mode, an array
``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` or ``(H, W, 4)``, or a torch tensor ``(H, W)`` or
``(C, H, W)`` on any device; grey, RGB or RGBA as uint8, uint16, or float in ``[0, 1]``."""

_NAME: Final = "image"  # in messages, for pictures without a file name
# Pillow modes that none of its file formats can store, and the mode to convert each to.
_FILE_MODES: Final = {"HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "PA": "RGBA", "La": "LA"}
_TIFF_MODES: Final = ("CMYK", "LAB", "YCbCr", "F", "I")


def to_frame(image: Picture) -> Frame:
    """Return the frame of a picture; see ``Picture``.

    Raises:
        SourceError: If a file cannot be read.
        TypeError: If the type, shape, dtype or value range of ``image`` is not supported.
    """
    if isinstance(image, str | os.PathLike):
        return read_picture(Path(image))
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_picture(bytes(image), name=_NAME)
    if isinstance(image, Image.Image):
        return decode_picture(_encoded(image), name=_NAME)
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "is_floating_point"):  # a torch tensor, known without importing PyTorch
        return _from_tensor(image)
    if hasattr(image, "read"):
        return _from_stream(image)
    raise TypeError(
        f"{_NAME}: need a path, bytes, a binary file, a PIL.Image, an array or a tensor, "
        f"not {type(image).__name__}"
    )


def _from_stream(stream: Any) -> Frame:
    if getattr(stream, "closed", False):
        raise SourceError(f"{_NAME}: the file is closed")
    if isinstance(stream, io.TextIOBase):
        raise TypeError(f"{_NAME}: the file is open as text; open it in mode 'rb'")
    return read_stream(stream, name=_NAME)


def _from_tensor(tensor: Any) -> Frame:
    if tensor.is_floating_point():
        tensor = tensor.float()  # NumPy has no bfloat16
    try:
        values: NDArray[Any] = tensor.detach().cpu().numpy()
    except (NotImplementedError, TypeError) as error:  # without data (meta), or sparse
        raise TypeError(f"{_NAME}: {error}") from error
    if values.ndim == 3:
        if values.shape[0] not in (1, 3, 4):
            raise TypeError(
                f"{_NAME}: need a tensor (C, H, W) of 1, 3 or 4 channels, not {tuple(values.shape)}"
            )
        values = values.transpose(1, 2, 0)
    return _from_array(values)


def _from_array(values: NDArray[Any]) -> Frame:
    shape, dtype = values.shape, values.dtype
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in shape:
        raise TypeError(
            f"{_NAME}: need an array (H, W), (H, W, 3) or (H, W, 4), not {shape} {dtype}"
        )
    values = _to_8bit(values)
    rgb = np.ascontiguousarray(np.broadcast_to(values[..., :3], (*values.shape[:2], 3)))
    alpha = np.ascontiguousarray(values[..., 3]) if values.shape[2] == 4 else None
    if alpha is not None and (alpha == 255).all():
        alpha = None
    return Frame(rgb, 0, _NAME, alpha=alpha)


def _to_8bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not np.issubdtype(values.dtype, np.floating):
        raise TypeError(f"{_NAME}: need uint8, uint16 or float, not {values.dtype}")
    if not (values.min() >= 0 and values.max() <= 1):  # also catches NaN
        raise TypeError(
            f"{_NAME}: float values must lie in [0, 1], not {values.min():g} to {values.max():g}"
        )
    return np.asarray(np.rint(values * 255), np.uint8)


def _encoded(image: Image.Image) -> bytes:
    """Return a PIL picture as a lossless file, so that it is read by the same code as files."""
    try:
        image.load()  # a picture that was opened lazily is read here
    except DAMAGE as error:
        raise SourceError(f"{_NAME}: {error}") from error
    buffer, exif = io.BytesIO(), image.getexif()
    if image.mode in _FILE_MODES:
        image = image.convert(_FILE_MODES[image.mode])
    file_format = "TIFF" if image.mode in _TIFF_MODES else "PNG"
    try:
        image.save(buffer, file_format, exif=exif, compress_level=0)
    except (OSError, ValueError) as error:
        raise TypeError(f"PIL.Image {image.mode} {image.size}: {error}") from error
    return buffer.getvalue()
