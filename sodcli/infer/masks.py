"""Read masks that replace the network's saliency maps."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.data.masks import read_mask
from sodcli.errors import SourceError
from sodcli.files import natural_key, user_path
from sodcli.frame import Frame
from sodcli.io.pictures.decode import readable_suffixes
from sodcli.text import display_name


def mask_of(source: str, frame: Frame, max_pixels: int) -> NDArray[np.float32]:
    """Read the mask of a photo by the rules of training: :func:`sodcli.data.masks.decode_mask`.

    Args:
        source: The value of ``--mask``: a mask file, or a folder that contains a file with the
            photo's name, optionally followed by ``_map``, ``_rgba`` or ``_mask``.
        frame: The photo.
        max_pixels: Masks with more pixels are refused.

    Returns:
        ``(H, W)`` float32 in ``[0, 1]``, scaled to the photo's size.

    Raises:
        SourceError: If the mask does not exist, cannot be read, has another aspect ratio or is the
            photo itself.
    """
    path = user_path(source)
    if path.is_dir():
        path = _in_folder(path, frame)
    if frame.origin is not None and path.samefile(frame.origin):
        raise SourceError(f"{display_name(path)}: --mask names the photo itself, not a mask of it")
    mask = read_mask(path, max_pixels)
    (height, width), (mask_h, mask_w) = frame.size_hw, mask.shape
    if abs(mask_w * height - mask_h * width) > max(width, height, mask_w, mask_h):
        raise SourceError(
            f"{display_name(path)}: the mask is {mask_w}x{mask_h}, the photo {width}x{height}"
        )
    if (mask_h, mask_w) != (height, width):
        mask = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR))
    return mask


def _in_folder(folder: Path, frame: Frame) -> Path:
    stems = {frame.name, *(f"{frame.name}_{tag}" for tag in ("map", "rgba", "mask"))}
    found = [
        path
        for path in folder.iterdir()
        if path.stem in stems and path.suffix.lower() in readable_suffixes()
    ]
    if not found:
        photo = display_name(frame.origin or frame.name)
        raise SourceError(f"{photo}: not done, no mask {frame.name}.* in {display_name(folder)}")
    return min(found, key=lambda path: natural_key(path.name))
