"""Convert pictures of any Pillow mode to 8-bit RGB with alpha and ICC profile."""

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from sodcli.frame import Frame
from sodcli.io.pictures import cicp

_SPACE_OF_MODE: Final = {"L": b"GRAY", "LA": b"GRAY", "CMYK": b"CMYK"}
_USUAL_WHITES: Final = (1, 255, 65535)
# (216, 1, 3) RGB, six levels per channel: used to test whether a profile differs from sRGB.
_SAMPLES: Final = (np.indices((6, 6, 6), np.uint8) * np.uint8(51)).reshape(3, 1, -1).T.copy()


@dataclass(frozen=True, slots=True)
class Raster:
    """The pixels of a picture file.

    Attributes:
        rgb: ``(H, W, 3)`` uint8, RGB.
        alpha: ``(H, W)`` uint8, or ``None`` when every pixel is opaque.
        icc: The ICC profile of ``rgb``; ``None`` means sRGB.
        dpi: Horizontal and vertical pixels per inch; ``None`` if the file does not give them.
        pages: Number of pages in the file, of which this is the first.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    icc: bytes | None
    dpi: tuple[float, float] | None = None
    pages: int = 1


def to_raster(image: Image.Image, points: tuple[int, int] | None = None) -> Raster:
    """Convert a loaded picture of any mode to 8-bit RGB.

    RGB pixels stay as they are and keep their profile. CMYK, grey and LAB pixels are converted to
    sRGB with their own profile, and pixels whose colour is given by code points with these.

    Args:
        image: The picture.
        points: Colour primaries and transfer characteristics, if they replace the profile; see
            ``io.pictures.cicp``.

    Raises:
        ValueError: If Pillow cannot convert the picture's mode.
    """
    alpha = _alpha(image)
    icc = image.info.get("icc_profile") or b""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_8bit(image))
    if points is not None:
        return Raster(cicp.to_srgb(np.asarray(image.convert("RGB")), *points), alpha, None)
    space = icc[16:20] if icc[36:40] == b"acsp" else b""
    if space == b"RGB " and image.mode not in ("CMYK", "LAB"):
        return Raster(np.asarray(image.convert("RGB")), alpha, icc)
    return Raster(np.asarray(_to_srgb(image, space, icc)), alpha, None)


def in_srgb(frame: Frame) -> Frame:
    """Convert a frame with a profile to sRGB; a damaged profile is ignored.

    Colours outside the sRGB gamut are clipped to it.
    """
    if frame.icc is None:
        return frame
    return replace(frame, rgb=profile_to_srgb(frame.rgb, frame.icc), icc=None)


def profile_to_srgb(rgb: NDArray[np.uint8], icc: bytes) -> NDArray[np.uint8]:
    """Convert ``(H, W, 3)`` uint8 pixels with an ICC profile to sRGB; see :func:`in_srgb`."""
    try:
        source, target = ImageCms.ImageCmsProfile(BytesIO(icc)), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, "RGB", "RGB")
        samples = np.asarray(ImageCms.applyTransform(Image.fromarray(_SAMPLES), transform))
        if np.abs(samples.astype(np.int16) - _SAMPLES).max() <= 1:
            return rgb  # the profile is sRGB itself, as many cameras write it
        return np.asarray(ImageCms.applyTransform(Image.fromarray(rgb), transform))
    except (ImageCms.PyCMSError, OSError):
        return rgb


def _to_8bit(image: Image.Image) -> NDArray[np.uint8]:
    """Scale 16-bit, 32-bit and float grey to ``(H, W)`` uint8.

    White is 65535 in 16-bit modes. Modes ``I`` and ``F`` do not define white. It is 1 (``F`` only),
    255 or 65535 if the maximum is at most that and, above the first of them, over a 16th of it;
    otherwise it is the maximum, as for linear light that goes beyond 1.
    """
    grey = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0, neginf=0)
    if image.mode.startswith("I;16"):
        white = 65535.0
    else:
        brightest = float(grey.max())
        usual = _USUAL_WHITES[image.mode == "I" :]
        near = (w for w in usual if brightest <= w and (w == usual[0] or brightest * 16 > w))
        white = next(near, brightest)
    scaled: NDArray[np.uint8] = np.rint(np.clip(grey, 0, white) * (255 / white)).astype(np.uint8)
    return scaled


def _alpha(image: Image.Image) -> NDArray[np.uint8] | None:
    """Return ``(H, W)`` uint8 alpha, or ``None`` if every pixel is opaque.

    It may come from an alpha channel, from palette entries or from a transparent colour.
    """
    if not image.has_transparency_data:
        return None
    if image.mode.startswith("I"):  # Pillow converts these without their transparency
        clear = np.asarray(image) == image.info["transparency"]
        return np.where(clear, 0, 255).astype(np.uint8) if clear.any() else None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if alpha.min() == 255 else alpha


def _to_srgb(image: Image.Image, space: bytes, icc: bytes) -> Image.Image:
    """Convert with the picture's own profile if it is valid, else with Pillow's formula."""
    if image.mode == "LA":
        image = image.convert("L")
    try:
        if image.mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif space and _SPACE_OF_MODE.get(image.mode) == space:
            source = ImageCms.ImageCmsProfile(BytesIO(icc))
        else:
            return image.convert("RGB")
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        converted = None
    return converted or image.convert("RGB")
