"""What the folders and names of pictures and maps have in common, beside what only decorates."""

import re
from pathlib import Path
from typing import Final

from sodcli.data.layouts import IMAGE_WORDS, MASK_WORDS

_MAP_WORDS: Final = frozenset(
    {"map", "maps", "pred", "preds", "prediction", "predictions", "sal", "saliency", "result"}
)
_KINDS: Final = IMAGE_WORDS | MASK_WORDS | _MAP_WORDS | {"ground", "results"}
_RESOLUTION: Final = re.compile(r"\d+p|full[-_]?resolution", re.IGNORECASE)
_ENDING: Final = re.compile(r"(.+)_(?:map|mask|gt|sal|saliency|pred)", re.IGNORECASE)
_SUFFIX: Final = re.compile(r"(.+)\.(?:jpe?g|png|webp|tiff?|bmp|avif)", re.IGNORECASE)


def place_of(folder: Path, root: Path) -> tuple[str, ...]:
    """Return the folders from ``root`` to ``folder`` that say which, not what, a picture is.

    ``DAVIS/Annotations/480p/bear`` is at ``("DAVIS", "bear")``: names of kinds (``GT``, ``images``,
    ``maps``) and of resolutions are left out.
    """
    return tuple(part for part in folder.relative_to(root).parts if not says_what(part))


def says_what(folder: str) -> bool:
    """Tell whether a folder's name only says what is in it, such as ``GT`` or ``480p``."""
    return _RESOLUTION.fullmatch(folder) is not None or _words(folder) <= _KINDS


def holds_photos(place: Path) -> bool:
    """Tell whether a folder on the path is one of photos, such as ``images``."""
    return any(_words(part) <= IMAGE_WORDS for part in place.parts)


def plain_stem(stem: str) -> str:
    """Return ``photo`` for ``photo_map`` and for ``photo.jpg_map``, as ``sod infer`` names maps."""
    ending = _ENDING.fullmatch(stem)
    bare = ending[1] if ending else stem
    suffix = _SUFFIX.fullmatch(bare)
    return suffix[1] if suffix else bare


def _words(name: str) -> frozenset[str]:
    return frozenset(re.split(r"[-_ .]+", name.casefold()))
