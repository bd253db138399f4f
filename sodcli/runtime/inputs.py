"""Turn what the Python API accepts as a picture into a frame."""

import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from sodcli.errors import SourceError
from sodcli.frame import Frame
from sodcli.io.pictures.decode import DAMAGE
from sodcli.io.pictures.read import decode_picture, read_picture

# Modes of Pillow that none of its file formats can hold.
_FILE_MODES: Final = {"HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "PA": "RGBA", "La": "LA"}


def to_frame(image: object) -> Frame:
    """Return the frame of a picture; see :meth:`sodcli.runtime.predictor.Predictor.__call__`."""
    if isinstance(image, str | Path):
        return read_picture(Path(image))
    if isinstance(image, bytes):
        return decode_picture(image, name="picture")
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise TypeError(f"need (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
        return Frame(rgb=image, index=0, name="picture")
    if isinstance(image, Image.Image):
        return decode_picture(_encoded(image), name="picture")
    raise TypeError(f"need a path, bytes, PIL.Image or array, not {type(image).__name__}")


def _encoded(image: Image.Image) -> bytes:
    """Write a PIL picture losslessly, so that modes and orientation take the one way of files."""
    try:
        image.load()  # of a picture opened from a file, only now
    except DAMAGE as error:
        raise SourceError(f"picture: {error}") from error
    buffer, exif = io.BytesIO(), image.getexif()
    if image.mode in _FILE_MODES:  # those that no file of Pillow's has
        image = image.convert(_FILE_MODES[image.mode])
    suffix = "TIFF" if image.mode in ("CMYK", "LAB", "YCbCr", "F", "I") else "PNG"
    try:
        image.save(buffer, suffix, exif=exif, compress_level=0)
    except (OSError, ValueError) as error:
        raise TypeError(f"PIL.Image {image.mode} {image.size}: {error}") from error
    return buffer.getvalue()
