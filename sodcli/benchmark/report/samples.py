"""The best and worst images of a set, as small pictures inside the page."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.benchmark.measure import Grey, read_map, read_truth
from sodcli.benchmark.report.tables import SMALL_IS_GOOD
from sodcli.benchmark.results import ImageResult, ResultRow
from sodcli.data.read import read_image
from sodcli.errors import SourceError
from sodcli.io.pictures.encode import encode_picture

_SIDE: Final = 160  # pixels; the page shows them at this size
_WORST, _BEST = 6, 3


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """One image with the maps of all methods.

    Attributes:
        images: One result per method, in their order.
        score: Mean score of the methods.
    """

    images: tuple[ImageResult, ...]
    score: float


def extremes(rows: Sequence[ResultRow], name: str) -> tuple[list[Ranked], list[Ranked]]:
    """Return the images with the worst and the best mean score of all methods.

    They are at most six and three, and none is both. Images without a score of some method are
    left out, unless this applies to every image.

    Args:
        rows: Rows of one set.
        name: Score to rank by, such as ``MAE``.
    """
    lines = list(zip(*(row.images for row in rows), strict=True))
    scores = [[score_of(image, name) for image in images] for images in lines]
    whole = any(None not in line for line in scores)
    ranked = []
    for images, line in zip(lines, scores, strict=True):
        found = [score for score in line if score is not None]
        if len(found) == len(line) or (found and not whole):
            ranked.append(Ranked(images, sum(found) / len(found)))
    ranked.sort(key=lambda one: one.score, reverse=name in SMALL_IS_GOOD)  # the worst first
    worst = ranked[:_WORST]
    return worst, ranked[len(worst) :][::-1][:_BEST]


def score_of(image: ImageResult, name: str) -> float | None:
    """Return a score of an image; None if it has none."""
    return image.scores.as_dict().get(name) if image.scores else None


@dataclass(frozen=True, slots=True)
class Cell:
    """A small picture in a gallery, as a data URL or None, and its caption."""

    picture: str | None
    caption: str


def gallery(ranked: Sequence[Ranked], name: str) -> list[list[Cell]]:
    """Return a row of cells per image: photo, ground truth, and the map of every method."""
    return [_line(one, name) for one in ranked]


def _line(one: Ranked, name: str) -> list[Cell]:
    first = one.images[0]
    cells = [Cell(_photo(first), first.name), Cell(_grey(first.truth, read_truth), "")]
    for image in one.images:
        score = score_of(image, name)
        caption = image_fault(image) if score is None else f"{name} {score:.4f}"
        cells.append(Cell(_grey(image.map, read_map) if image.map else None, caption))
    return cells


def image_fault(image: ImageResult) -> str:
    """Return why an image has no score; empty if it has one."""
    return "missing" if image.map is None else "damaged" if image.error else ""


def _photo(image: ImageResult) -> str | None:
    if image.photo is None:
        return None
    try:
        rgb = read_image(image.photo)
    except SourceError:
        return None
    return embedded(_small(rgb), ".jpg")


def _grey(path: Path, read: Callable[[Path], Grey]) -> str | None:
    try:
        return embedded(_small(read(path)[0]), ".png")
    except SourceError:
        return None


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    factor = min(1.0, _SIDE / max(height, width))
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def embedded(pixels: NDArray[np.uint8], suffix: str) -> str:
    """Return a picture as a data URL; ``suffix`` is ``.jpg`` or ``.png``."""
    kind = {".jpg": "jpeg", ".png": "png"}[suffix]
    data = encode_picture(pixels, suffix)
    return f"data:image/{kind};base64,{b64encode(data).decode()}"
