"""Catalogue photos: crop to the subject, centre it, scale it onto a canvas."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.errors import SourceError, UsageError
from sodcli.frame import Frame
from sodcli.text import display_name

SUBJECT: Final = 0.5  # minimum saliency of a subject pixel
_MARGIN: Final = re.compile(r"(\d+(?:\.\d+)?)(%|px)")
_CANVAS: Final = re.compile(r"(\d+)x(\d+)")
_MOST_SIDE: Final = 20_000  # px


@dataclass(frozen=True, slots=True)
class Framing:
    """Position and scale of the subject in the result.

    Attributes:
        margin: Free space on each side of the subject: a share of the canvas's shorter side
            (without a canvas: of the subject's longer side), or pixels of the result.
        in_px: Whether ``margin`` is in pixels.
        canvas_wh: Width and height of the result in pixels; the subject is scaled to fit.
        square: Whether the result is square; used only without ``canvas_wh``.
    """

    margin: float = 0.05
    in_px: bool = False
    canvas_wh: tuple[int, int] | None = None
    square: bool = False

    def margin_px(self, side: int) -> float:
        """Return the margin in pixels; ``side`` is the side that a share refers to."""
        return self.margin if self.in_px else self.margin * side


def read_framing(crop: bool, margin: str | None, canvas: str | None) -> Framing | None:
    """Parse ``--crop``, ``--margin`` and ``--canvas``; return ``None`` if none is given.

    Raises:
        UsageError: If a value is invalid.
    """
    if not (crop or margin or canvas):
        return None
    framing = Framing()
    if margin is not None:
        match = _MARGIN.fullmatch(margin.strip())
        if match is None:
            raise UsageError(f"--margin {margin}: write a share or pixels, such as 5% or 20px")
        amount, in_px = float(match[1]), match[2] == "px"
        framing = Framing(amount if in_px else amount / 100, in_px)
    if canvas is None or canvas == "square":
        return replace(framing, square=canvas is not None)
    match = _CANVAS.fullmatch(canvas.strip().lower())
    if match is None or not all(0 < int(side) <= _MOST_SIDE for side in match.groups()):
        raise UsageError(
            f"--canvas {canvas}: write WIDTHxHEIGHT in pixels, up to {_MOST_SIDE}, or square"
        )
    size_wh = int(match[1]), int(match[2])
    if 2 * framing.margin_px(min(size_wh)) >= min(size_wh):
        raise UsageError(f"--margin {margin} leaves no room on --canvas {canvas}")
    return replace(framing, canvas_wh=size_wh)


def read_box(text: str) -> tuple[int, int, int, int]:
    """Parse the value of ``--box``: left, top, width and height in pixels.

    Raises:
        UsageError: If it is not four whole numbers, or the width or height is 0.
    """
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 4 or not all(part.isdecimal() for part in numbers):
        raise UsageError(f"--box {text}: write left, top, width and height, such as 120,80,400,300")
    left, top, width, height = map(int, numbers)
    if not width or not height:
        raise UsageError(f"--box {text}: its width and height must be at least 1")
    return left, top, width, height


def subject_box(
    saliency: NDArray[np.float32], level: float = SUBJECT
) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom (exclusive) of what reaches ``level``, ``None`` if none.

    Args:
        saliency: ``(H, W)`` in ``[0, 1]``.
        level: Minimum saliency of a subject pixel.
    """
    inside = saliency >= level
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def framed(frame: Frame, framing: Framing, box: tuple[int, int, int, int] | None) -> Frame:
    """Crop and scale a frame with saliency so that its subject is centred.

    Pixels outside the photo are transparent and not salient. A photo without a subject is not
    cropped, but centred on the canvas if there is one.

    Args:
        frame: The photo.
        framing: Position and scale of the subject.
        box: The subject's box from ``subject_box``.

    Returns:
        A frame of another size, with ``rgb``, ``saliency`` and ``alpha``.

    Raises:
        SourceError: If the margin makes a side of the result longer than 20,000 pixels and longer
            than those of the photo.
    """
    height, width = frame.size_hw
    if box is None:
        if framing.canvas_wh is None:
            return frame
        box, framing = (0, 0, width, height), replace(framing, margin=0)
    left, top, right, bottom = box
    scale, (out_w, out_h) = _geometry(framing, right - left, bottom - top)
    if max(out_w, out_h) > max(_MOST_SIDE, height, width):
        name = display_name(frame.origin or frame.name)
        raise SourceError(
            f"{name}: the result would be {out_w}x{out_h} pixels; choose a smaller --margin"
        )
    x0 = out_w / 2 - (left + right) / 2 * scale  # the photo's top left corner in the result
    y0 = out_h / 2 - (top + bottom) / 2 * scale
    place = partial(_placed, scale=scale, corner=(x0, y0), size_wh=(out_w, out_h))
    if frame.alpha is None:  # opaque up to the border
        alpha = place(np.full((height, width), 255, np.uint8), method=cv2.INTER_NEAREST)
    else:
        alpha = place(frame.alpha)
    return replace(
        frame,
        rgb=_placed_colours(place, frame.rgb, frame.alpha),
        saliency=None if frame.saliency is None else np.clip(place(frame.saliency), 0, 1),
        alpha=None if alpha.min() == 255 else alpha,
    )


def _geometry(framing: Framing, width: int, height: int) -> tuple[float, tuple[int, int]]:
    """Return the scale of a subject of this size, and the result's width and height."""
    if framing.canvas_wh is not None:
        out_w, out_h = framing.canvas_wh
        free = 2 * framing.margin_px(min(out_w, out_h))
        return min((out_w - free) / width, (out_h - free) / height), (out_w, out_h)
    free = 2 * framing.margin_px(max(width, height))
    out_w, out_h = round(width + free), round(height + free)
    return 1.0, (max(out_w, out_h),) * 2 if framing.square else (out_w, out_h)


def _placed_colours(
    place: Callable[..., NDArray[Any]], rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """Return ``rgb`` scaled and placed; the colours of transparent pixels are mixed into none."""
    border = cv2.BORDER_REPLICATE
    plain = place(rgb, method=cv2.INTER_CUBIC, border=border)
    if alpha is None:
        return plain
    weight = cv2.merge((alpha,) * 3).astype(np.float32)
    total = place(weight, border=border)
    mean = place(rgb * weight, border=border) / np.maximum(total, 1e-6)
    near_transparent = place(cv2.erode(alpha, np.ones((3, 3), np.uint8))) < 255
    mixed = np.where(near_transparent[..., None] & (total > 0), np.rint(mean), plain)
    return mixed.astype(np.uint8)


def _placed(
    plane: NDArray[Any],
    *,
    scale: float,
    corner: tuple[float, float],
    size_wh: tuple[int, int],
    method: int = cv2.INTER_LINEAR,
    border: int = cv2.BORDER_CONSTANT,
) -> NDArray[Any]:
    """Return ``plane`` scaled, with its top left corner at ``corner`` on a ``size_wh`` canvas."""
    x, y = corner
    if scale <= 1:  # average first, then shift by whole pixels without interpolation
        height, width = (max(1, round(side * scale)) for side in plane.shape[:2])
        plane = np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))
        scale, x, y, method = 1.0, round(x), round(y), cv2.INTER_NEAREST
    half = (scale - 1) / 2  # OpenCV's coordinates refer to pixel centres, not corners
    matrix = np.array([[scale, 0, x + half], [0, scale, y + half]], np.float64)
    moved = cv2.warpAffine(plane, matrix, size_wh, flags=method, borderMode=border)
    return np.asarray(moved)
