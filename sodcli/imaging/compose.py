"""Turn a picture and its saliency into the requested output type.

A new output type is one function here, decorated with ``@composer("name")``. The names are repeated
in ``output_types.OUTPUT_TYPES`` for tab completion, which does not import OpenCV.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.frame import Frame
from sodcli.imaging import planes
from sodcli.imaging.blend import blur, cover, mix, over_white
from sodcli.imaging.output_types import Rgb
from sodcli.imaging.refine import estimate_foreground, near_subject

Pixels = NDArray[np.uint8]

PICTURE: Final = "picture"  # the one type that needs a background
OF_PLANES: Final = ("map", "blur")  # types that need no RGB of the frame's size
GREEN_RGB: Final = (120, 255, 155)  # the green that InSPyReNet and RVM put behind their subjects


@dataclass(frozen=True, slots=True)
class Look:
    """Options of an output besides its type.

    Attributes:
        background: ``(h, w, 3)`` uint8 RGB of any size, for type ``picture``.
        refine: Estimate the subject's own colour at its soft edges, so that no halo of the old
            background shows.
    """

    background: Pixels | None = None
    refine: bool = True


Composer = Callable[[Frame, Look], Pixels]


@dataclass(frozen=True, slots=True)
class _Type:
    """An output type: its function and the flags passed to ``composer``."""

    make: Composer
    alpha: bool
    srgb: bool


_TYPES: Final[dict[str, _Type]] = {}
_USUAL: Final = Look()
_GREEN: Final = np.array(GREEN_RGB, np.uint8)


def flat(colour: Rgb) -> Pixels:
    """Return a background of one colour: a 1x1 picture, which is scaled to cover the frame."""
    return np.array([[colour]], np.uint8)


def composer(
    name: str, *, alpha: bool = False, srgb: bool = False
) -> Callable[[Composer], Composer]:
    """Register an output type under ``name``.

    Args:
        name: The value of ``--type``.
        alpha: Whether it returns RGBA, which the file format must support.
        srgb: Whether it mixes in sRGB colours and therefore needs frames in sRGB.

    Raises:
        ValueError: If ``name`` is already registered.
    """

    def register(function: Composer) -> Composer:
        if name in _TYPES:
            raise ValueError(f"output type {name!r} is already registered")
        _TYPES[name] = _Type(function, alpha, srgb)
        return function

    return register


def output_types() -> list[str]:
    """Return every output type, sorted."""
    return sorted(_TYPES)


def has_alpha(name: str) -> bool:
    """Return True if output type ``name`` has transparency.

    Raises:
        KeyError: If there is no such type.
    """
    return _TYPES[name].alpha


def needs_srgb(name: str) -> bool:
    """Return True if output type ``name`` mixes in sRGB colours.

    Raises:
        KeyError: If there is no such type.
    """
    return _TYPES[name].srgb


def compose(name: str, frame: Frame, look: Look = _USUAL) -> Pixels:
    """Return output type ``name`` for a frame with saliency.

    Returns:
        uint8 of the frame's size: ``(H, W)`` for ``map``, ``(H, W, 4)`` RGBA with straight alpha
        for types with ``has_alpha``, ``(H, W, 3)`` RGB for the others. A frame with planes
        has only the types of ``OF_PLANES``, and ``blur`` then returns planes.

    Raises:
        KeyError: If there is no such type.
        ValueError: If the frame has no saliency, or ``picture`` got no background.
    """
    return _TYPES[name].make(frame, look)


@composer("map")
def saliency_map(frame: Frame, look: Look) -> Pixels:
    """Grey map, 255 where the subject is."""
    return _map(frame)


@composer("green", srgb=True)
def green_screen(frame: Frame, look: Look) -> Pixels:
    """Subject over flat green."""
    return mix(_subject(frame, look), _GREEN, _saliency(frame))


@composer("rgba", alpha=True)
def cut_out(frame: Frame, look: Look) -> Pixels:
    """Subject with straight alpha.

    Pixels far from the subject are zero, which compresses best and keeps the removed background out
    of the file. Pixels near it keep a colour; otherwise scaling the cut-out would produce a dark
    rim.
    """
    alpha = _saliency(frame)
    near = near_subject(alpha)
    opaque = cv2.cvtColor(_subject(frame, look, near), cv2.COLOR_RGB2RGBA)
    rgba = cv2.copyTo(opaque, near.view(np.uint8))
    return np.asarray(cv2.insertChannel(_to_8bit(alpha), rgba, 3), np.uint8)


@composer("reverse", alpha=True)
def background_only(frame: Frame, look: Look) -> Pixels:
    """Picture with straight alpha that is transparent where the subject is."""
    whole = 1 if frame.alpha is None else frame.alpha.astype(np.float32) / np.float32(255)
    rest = np.maximum(whole - _saliency(frame), 0)
    return cut_out(replace(frame, saliency=rest), look)


@composer("blur")
def blurred_background(frame: Frame, look: Look) -> Pixels:
    """Subject over the blurred picture: sigma 15 px in a picture 1280 px wide."""
    sigma = 15 / 1280 * frame.size_hw[1]
    if frame.planes is not None:
        return planes.blurred(frame.planes, _map(frame), sigma)
    shown = over_white(frame.rgb, frame.alpha)
    return mix(frame.rgb, blur(shown, sigma), _saliency(frame))


@composer("overlay", srgb=True)
def overlay(frame: Frame, look: Look) -> Pixels:
    """Picture with the subject half green and outlined, as InSPyReNet draws it."""
    alpha = _saliency(frame)
    shown = over_white(frame.rgb, frame.alpha)
    tinted = mix(shown, _GREEN, 1 - alpha * np.float32(0.5))
    subject = (alpha > 0.5).astype(np.uint8) * 255
    tinted[cv2.Canny(subject, 50, 100) > 0] = _GREEN
    return tinted


@composer(PICTURE, srgb=True)
def over_picture(frame: Frame, look: Look) -> Pixels:
    """Subject over another picture, which is scaled and cropped to cover the frame.

    The published tool stretches the background to the frame; here it keeps its aspect ratio.
    """
    if look.background is None:
        raise ValueError("output type 'picture' needs a background")
    return mix(_subject(frame, look), cover(look.background, frame.size_hw), _saliency(frame))


def _saliency(frame: Frame) -> NDArray[np.float32]:
    if frame.saliency is None:
        raise ValueError("compose() needs a frame with saliency")
    return frame.saliency


def _map(frame: Frame) -> Pixels:
    """Return the saliency in 8 bits, ``(H, W)``; one of another size is brought to the frame's."""
    small = _to_8bit(_saliency(frame))
    if small.shape == frame.size_hw:
        return small
    return np.asarray(cv2.resize(small, frame.size_hw[::-1]), np.uint8)


def _subject(frame: Frame, look: Look, near: NDArray[np.bool_] | None = None) -> Pixels:
    """Return the subject's colours for compositing over a new background.

    Partly transparent pixels of the picture itself keep theirs, which contain no background.
    """
    if not look.refine:
        return frame.rgb
    colours = estimate_foreground(frame.rgb, _saliency(frame), near)
    if frame.alpha is not None:
        partly = cv2.inRange(frame.alpha, 1, 254)
        cv2.copyTo(frame.rgb, partly, colours)
    return colours


def _to_8bit(saliency: NDArray[np.float32]) -> Pixels:
    return np.asarray(cv2.convertScaleAbs(saliency, alpha=255), np.uint8)  # rounds as rint does
