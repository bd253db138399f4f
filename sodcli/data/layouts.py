"""Where pictures and their masks lie: the folder layouts in which data sets are published."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from sodcli.files import natural_key

PICTURES = frozenset({".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
IMAGE_WORDS = frozenset({"im", "image", "images", "img", "imgs", "jpegimages"})
MASK_WORDS = frozenset(
    {"annotation", "annotations", "groundtruth", "gt", "gts", "mask", "masks", "truth"}
)
LOOKED_FOR = (
    "a folder images, image, Imgs, im, JPEGImages or NAME-Image beside GT, masks, Mask, "
    "Annotations or NAME-Mask, or photo.jpg beside photo.png, there and one folder down"
)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders directly in ``folder``, in natural order, hidden ones left out."""
    return _listing(folder)[0]


def pictures_in(folder: Path) -> list[Path]:
    """Return the picture files directly in ``folder``, in natural order."""
    return _listing(folder)[1]


def pictures_under(folder: Path) -> list[Path]:
    """Return the picture files in ``folder`` and below, folder by folder in natural order."""
    subs, pictures = _listing(folder)
    return pictures + [path for sub in subs for path in pictures_under(sub)]


def twin_folders(folder: Path) -> list[tuple[Path, Path]]:
    """Return the folders of pictures in ``folder``, each with its folder of masks.

    A name counts by its words: ``DUTS-TR-Image`` is a folder of pictures, ``ground_truth_mask`` one
    of masks. Where there are several of a kind, the other words have to agree (``DUTS-TR-Image``
    with ``DUTS-TR-Mask``). A folder of masks without a picture (VOC's XML) is none.
    """
    images: dict[frozenset[str], Path] = {}
    masks: dict[frozenset[str], Path] = {}
    for sub in subfolders(folder):
        words = frozenset(re.split(r"[-_ .]+", sub.name.casefold()))
        kind = masks if words & MASK_WORDS else images if words & IMAGE_WORDS else None
        if kind is not None and _has_picture(sub):
            kind.setdefault(words - MASK_WORDS - IMAGE_WORDS, sub)
    if len(images) == len(masks) == 1:
        return list(zip(images.values(), masks.values(), strict=True))
    return [(path, masks[rest]) for rest, path in images.items() if rest in masks]


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the picture files in ``folder``, each in natural order."""
    with os.scandir(folder) as entries:  # knows the kind of an entry without asking the disk again
        shown = [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    shown.sort(key=lambda entry: natural_key(entry.name))
    subs = [folder / entry.name for entry in shown if _is(entry.is_dir) and not _loops(entry)]
    files = (folder / entry.name for entry in shown if _is(entry.is_file))
    return subs, [path for path in files if path.suffix.lower() in PICTURES]


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link to itself is nothing
        return False


def _loops(entry: os.DirEntry[str]) -> bool:
    """Say whether a folder is a link to one that it lies in, which would be walked for ever."""
    if not entry.is_symlink():
        return False
    there = os.path.realpath(entry.path)
    return any(os.path.realpath(above) == there for above in Path(entry.path).absolute().parents)


def _has_picture(folder: Path) -> bool:
    subs, pictures = _listing(folder)
    return bool(pictures) or any(_has_picture(sub) for sub in subs)
