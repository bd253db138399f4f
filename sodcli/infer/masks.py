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
from sodcli.text import display_name, reason_of


def mask_of(
    source: str, frame: Frame, max_pixels: int, root: Path | None = None
) -> NDArray[np.float32]:
    """Read the mask of a photo by the rules of training: :func:`sodcli.data.masks.decode_mask`.

    Args:
        source: The value of ``--mask``: a mask file, or a folder that contains a file with the
            photo's name, optionally followed by ``_map``, ``_rgba`` or ``_mask``: in the photo's
            sub-folder, as results lie, or else in the folder itself.
        frame: The photo.
        max_pixels: Masks with more pixels are refused.
        root: The folder argument in which the photo was found, if there was one.

    Returns:
        ``(H, W)`` float32 in ``[0, 1]``, scaled to the photo's size.

    Raises:
        SourceError: If the mask does not exist, cannot be read, has another aspect ratio or is the
            photo itself.
    """
    path = user_path(source)
    try:
        if path.is_dir():
            path = _in_folder(path, frame, root)
        itself = frame.origin is not None and path.samefile(frame.origin)
    except OSError as error:
        where = display_name(error.filename or path)
        raise SourceError(f"{where}: {reason_of(error).lower()}") from error
    if itself:
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


def _in_folder(folder: Path, frame: Frame, root: Path | None) -> Path:
    """Return the mask of ``frame``; the photo itself if nothing else in ``folder`` has its name."""
    stems = {frame.name, *(f"{frame.name}_{tag}" for tag in ("map", "rgba", "mask"))}
    inner = frame.origin.parent.relative_to(root) if frame.origin and root else Path()
    found = []
    for place in dict.fromkeys((folder / inner, folder)):
        named = [path for path in place.iterdir() if path.stem in stems] if place.is_dir() else []
        known = [path for path in named if path.suffix.lower() in readable_suffixes()]
        found += sorted(known, key=lambda path: natural_key(path.name))
    if not found:
        photo = display_name(frame.origin or frame.name)
        raise SourceError(f"{photo}: not done, no mask {frame.name}.* in {display_name(folder)}")
    origin = frame.origin
    return next((path for path in found if not (origin and path.samefile(origin))), found[0])
