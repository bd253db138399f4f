"""The HTML page of ``sod infer --report``: photos, cut-outs and maps, least certain first."""

import re
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.files import open_regular, write_whole
from sodcli.frame import Frame
from sodcli.imaging.blend import over_white
from sodcli.imaging.compose import compose
from sodcli.imaging.matte import DOUBTFUL
from sodcli.io.pictures.colour import in_srgb
from sodcli.io.pictures.encode import encode_picture
from sodcli.text import plural, render_html

_Number = TypeVar("_Number", np.float32, np.uint8)
_SIDE: Final = 480  # longer side of a preview in pixels
_QUALITY: Final = 75
_HEAD_BYTES: Final = 1024  # the mark is within
_MARK: Final = re.compile(rb'<meta name="generator" content="sodcli [^"]*, sheet">')


@dataclass(frozen=True, slots=True)
class Preview:
    """Small pictures of one photo, as data URLs.

    Attributes:
        photo: The photo over white.
        cutout: The subject with transparency, or an existing result.
        map: The saliency map; empty beside an existing result.
    """

    photo: str
    cutout: str
    map: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo on the page; ``certainty`` is ``None`` if no network ran."""

    source: str
    outputs: tuple[str, ...]
    certainty: float | None
    preview: Preview


def make_preview(frame: Frame, matte: NDArray[np.float32]) -> Preview:
    """Return the preview of a frame with saliency.

    Args:
        frame: The photo.
        matte: ``(H, W)`` float32 in ``[0, 1]``, the matte used for the results.
    """
    assert frame.saliency is not None
    cut = _shrunk(replace(frame, saliency=matte))
    grey = replace(cut, saliency=np.clip(_small(frame.saliency), 0, 1))
    return Preview(
        photo=_url(over_white(cut.rgb, cut.alpha), "jpeg"),
        cutout=_url(compose("rgba", cut), "webp"),
        map=_url(compose("map", grey), "webp"),
    )


def preview_of_result(frame: Frame, result: Frame) -> Preview:
    """Return the preview of a photo that shows its result as it is, and no map."""
    photo, cut = _shrunk(frame), _shrunk(result)
    pixels = cut.rgb if cut.alpha is None else np.dstack((cut.rgb, cut.alpha))
    return Preview(_url(over_white(photo.rgb, photo.alpha), "jpeg"), _url(pixels, "webp"))


def _shrunk(frame: Frame) -> Frame:
    """Return the frame small and in sRGB."""
    return in_srgb(
        replace(
            frame,
            rgb=_small(frame.rgb),
            alpha=None if frame.alpha is None else _small(frame.alpha),
            saliency=None if frame.saliency is None else np.clip(_small(frame.saliency), 0, 1),
        )
    )


def _small(plane: NDArray[_Number]) -> NDArray[_Number]:
    """Return pixels, the longer side at most ``_SIDE`` of them."""
    height, width = plane.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(plane, size_wh, interpolation=cv2.INTER_AREA), plane.dtype)


def write_sheet(target: Path, entries: Sequence[Entry]) -> None:
    """Write the page as one self-contained file, sorted by certainty.

    Raises:
        SinkError: If the file cannot be written.
    """
    ordered = sorted(entries, key=lambda entry: (entry.certainty is None, entry.certainty or 0.0))
    doubtful = sum(e.certainty is not None and e.certainty < DOUBTFUL for e in ordered)
    html = render_html(
        "sodcli.infer",
        "sheet.html",
        entries=ordered,
        count=plural(len(ordered), "photo"),
        doubtful=doubtful,
        limit=DOUBTFUL,
    )
    write_whole(target, html.encode("utf-8", "replace"))


def is_sheet(path: Path) -> bool:
    """Return True if a file is a page that :func:`write_sheet` wrote."""
    with suppress(OSError), open_regular(path) as file:
        return _MARK.search(file.read(_HEAD_BYTES)) is not None
    return False


def _url(pixels: NDArray[np.uint8], form: str) -> str:
    data = encode_picture(pixels, f".{form}", quality=_QUALITY)
    return f"data:image/{form};base64,{b64encode(data).decode()}"
