"""Read masks that replace the network's saliency maps."""

from collections import defaultdict
from functools import lru_cache
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


def find_mask(source: str, photo: Path, root: Path | None = None) -> Path:
    """Return the file of a photo's mask.

    Args:
        source: The value of ``--mask``: a mask file, or a folder that contains a file with the
            photo's name, optionally followed by ``_map``, ``_rgba`` or ``_mask``: in the photo's
            sub-folder, as results lie, or else in the folder itself.
        photo: The photo's path; of a photo that is no file, a name without suffix.
        root: The folder argument in which the photo was found, if there was one.

    Raises:
        SourceError: If there is no mask, or it is the photo itself.
    """
    path = user_path(source)
    try:
        if path.is_dir():
            path = _in_folder(path, photo, root)
        itself = _is_same(path, photo)
    except OSError as error:
        where = display_name(error.filename or path)
        raise SourceError(f"{where}: {reason_of(error).lower()}") from error
    if itself:
        raise SourceError(f"{display_name(path)}: --mask names the photo itself, not a mask of it")
    return path


def mask_of(
    source: str, frame: Frame, max_pixels: int, root: Path | None = None
) -> NDArray[np.float32]:
    """Read the mask of a photo by the rules of training: :func:`sodcli.data.masks.decode_mask`.

    Args:
        source: See :func:`find_mask`.
        frame: The photo.
        max_pixels: Masks with more pixels are refused.
        root: See :func:`find_mask`.

    Returns:
        ``(H, W)`` float32 in ``[0, 1]``, scaled to the photo's size.

    Raises:
        SourceError: If the mask does not exist, cannot be read, has another aspect ratio or is the
            photo itself.
    """
    path = find_mask(source, frame.origin or Path(frame.name), root)
    mask = read_mask(path, max_pixels)
    (height, width), (mask_h, mask_w) = frame.size_hw, mask.shape
    if abs(mask_w * height - mask_h * width) > max(width, height, mask_w, mask_h):
        raise SourceError(
            f"{display_name(path)}: the mask is {mask_w}x{mask_h}, the photo {width}x{height}"
        )
    if (mask_h, mask_w) != (height, width):
        mask = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR))
    return mask


def _in_folder(folder: Path, photo: Path, root: Path | None) -> Path:
    """Return the mask of ``photo``; the photo itself if nothing else in ``folder`` has its name."""
    name = photo.stem
    inner = photo.parent.relative_to(root) if root else Path()
    found: list[Path] = []
    for place in dict.fromkeys((folder / inner, folder)):
        if place.is_dir():
            listed = _by_stem(place, place.stat().st_mtime_ns)
            stems = (name, *(f"{name}_{tag}" for tag in ("map", "rgba", "mask")))
            named = (path for stem in stems for path in listed.get(stem, ()))
            found += sorted(named, key=lambda path: natural_key(path.name))
    if not found:
        raise SourceError(
            f"{display_name(photo)}: not done, no mask {name}.* in {display_name(folder)}"
        )
    return next((path for path in found if not _is_same(path, photo)), found[0])


@lru_cache(maxsize=64)
def _by_stem(folder: Path, changed_ns: int) -> dict[str, list[Path]]:
    """Return the pictures in a folder by stem; ``changed_ns``, its time, ends a cached answer."""
    found, suffixes = defaultdict[str, list[Path]](list), readable_suffixes()
    for path in folder.iterdir():
        if path.suffix.lower() in suffixes:
            found[path.stem].append(path)
    return dict(found)


def _is_same(path: Path, photo: Path) -> bool:
    return photo.exists() and path.samefile(photo)
