"""Read and check masks, the same for training and scoring."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.data.pairs import Pair, PairList
from sodcli.data.read import (
    Pixels,
    Stored,
    is_coloured,
    picture_size,
    read_image,
    read_stored,
    size_text,
)
from sodcli.errors import SourceError
from sodcli.files.reading import MAX_PIXELS
from sodcli.text import plural, shortened

Kind = Literal["palette", "colour", "void"]
Levels = NDArray[np.float32]

_VOID: Final = 255
_VOID_COLOUR: Final = (224, 224, 192)  # of index 255 in VOC's palette
_FEW: Final = 64  # maximum number of colours in a lossless class map
_DARK: Final = 32  # channels below this count as black in a lossy picture
_APART: Final = 64  # minimum distance of the colours of two classes in a lossy picture
_NEAR: Final = 12  # maximum mean distance of pixels to the colour of their class
_MOST_CLASSES: Final = 32
_BLACK_SHARE: Final = 0.01
_FAINT: Final = 0.5  # a mask without brighter pixels probably holds class numbers
_NAMES: Final = 3
_THREADS: Final = 4


class NoMaskError(SourceError):
    """The file is a colour picture, such as a photo, and no mask."""


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A mask and how its file stores it.

    Attributes:
        levels: ``(H, W)`` float32 in [0, 1].
        kinds: ``palette``: the palette index was used. ``colour``: all coloured classes are
            foreground. ``void``: pixels labelled void are background.
    """

    levels: Levels
    kinds: frozenset[Kind]


def read_mask(path: Path, max_pixels: int = MAX_PIXELS) -> Levels:
    """Read a mask as ``(H, W)`` float32 in [0, 1]: see :func:`decode_mask`.

    Raises:
        SourceError: If it cannot be read completely, has more than ``max_pixels`` pixels, or is a
            colour picture that is not a mask.
    """
    return decode_mask(read_stored(path, max_pixels), path).levels


def decode_mask(stored: Stored, path: Path) -> Mask:
    """Decode a mask file.

    - A varying alpha channel is the mask (a cut-out); a constant one is ignored.
    - With a colour palette (VOC, DAVIS) the index is used: 0 and VOC's 255 (void) are background,
      all others foreground.
    - In a colour picture black is background and every other class colour foreground; a mask in a
      single hue keeps its soft edges.
    - An integer file whose maximum is 1 holds the classes 0 and 1; other integers are divided by
      the maximum of their dtype. Floats are clipped to [0, 1], and NaN becomes 0.

    Args:
        stored: From :func:`sodcli.data.read.read_stored`.
        path: Name of the file in messages.

    Raises:
        NoMaskError: If it is a colour picture without a black background, or has too many colours,
            such as a photo; the message names the colours found.
    """
    pixels = stored.pixels
    if stored.palette is not None:
        return _of_palette(np.asarray(pixels, np.uint8), stored.palette)
    if pixels.ndim == 3 and not _has_alpha(pixels) and pixels.dtype == np.uint8:
        rgb = np.asarray(pixels[..., 2::-1], np.uint8)
        if is_coloured(rgb):
            return _of_colours(rgb, path)
    grey = one_channel(pixels)
    unscaled = np.issubdtype(grey.dtype, np.floating) or grey.max() == 1
    top = 1 if unscaled else np.iinfo(grey.dtype.name).max
    levels = np.multiply(grey, 1 / top, dtype=np.float32)
    return Mask(np.nan_to_num(levels).clip(0, 1), frozenset())


def one_channel(pixels: Pixels) -> Pixels:
    """Return the alpha channel of a stored picture if it varies, else its grey; ``(H, W)``."""
    if pixels.ndim == 2:
        return pixels
    if _has_alpha(pixels):
        return pixels[..., 3]
    bgr = np.ascontiguousarray(pixels[..., :3])
    if bgr.dtype in (np.uint8, np.uint16, np.float32):
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    luma = bgr @ np.array([0.114, 0.587, 0.299])  # OpenCV converts no other dtypes
    whole = np.issubdtype(bgr.dtype, np.integer)
    return np.asarray(np.rint(luma) if whole else luma, bgr.dtype)


def read_pair(pair: Pair, *, fit: bool = False) -> tuple[NDArray[np.uint8], Levels]:
    """Read a picture and its mask, both of the same size.

    If the sizes differ after applying the EXIF orientation, the picture is read as stored, because
    some masks are drawn on the stored picture.

    Args:
        pair: The files.
        fit: Resize a mask of another size to the picture.

    Returns:
        ``(H, W, 3)`` uint8 RGB and ``(H, W)`` float32 in [0, 1].

    Raises:
        SourceError: If a file cannot be read, or the sizes differ and ``fit`` is False; the message
            names the file.
    """
    upright, mask = read_image(pair.image), read_mask(pair.mask)
    if upright.shape[:2] == mask.shape:
        return upright, mask
    stored = read_image(pair.image, upright=False)
    if stored.shape[:2] == mask.shape:
        return stored, mask
    if not fit:
        raise SourceError(f"{pair.mask}: is {size_text(mask)}, its picture {size_text(upright)}")
    return upright, fit_mask(mask, upright.shape[:2])


def fit_mask(mask: Levels, size_hw: tuple[int, ...]) -> Levels:
    """Resize a mask to (height, width): nearest if it is black and white, else bilinear."""
    hard = bool(((mask == 0) | (mask == 1)).all())
    how = cv2.INTER_NEAREST if hard else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask, size_hw[::-1], interpolation=how), np.float32)


def check_pairs(pairs: Sequence[Pair], *, fit: bool = False) -> PairList:
    """Read all pairs and drop those that cannot be read.

    Returns:
        The readable pairs in their order, and a message about the others.

    Raises:
        SourceError: If most masks are photos.
    """
    good: list[Pair] = []
    damaged: list[str] = []
    photos: list[Path] = []
    for pair in pairs:
        try:
            read_pair(pair, fit=fit)
        except SourceError as error:
            damaged.append(str(error))
            photos += [pair.mask] * isinstance(error, NoMaskError)
        else:
            good.append(pair)
    refuse_photos(photos, len(pairs), "masks")
    problems = (
        (f"{plural(len(damaged), 'pair')} left out: {shortened(damaged)}",) if damaged else ()
    )
    return PairList(tuple(good), problems)


def check_masks(
    pairs: Sequence[Pair],
    *,
    fit: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> tuple[str, ...]:
    """Read the mask of every pair, and report those that look wrong.

    A single mask may be black (no salient object) or faint. A data set of only such masks holds
    class numbers or the wrong files.

    Args:
        pairs: Pairs to check; only the headers of the pictures are read.
        fit: Whether masks of another size than their picture are accepted, to be resized.
        advance: Called after each mask.

    Returns:
        One line per kind of problem, with a count and a few names.

    Raises:
        SourceError: If most masks are photos, or every readable mask is black, or faint (all
            values below one half); the message lists a few.
    """
    faint: list[tuple[Path, float]] = []
    black: list[Path] = []
    resized: list[Path] = []
    bad: list[str] = []
    photos: list[Path] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for pair, found in zip(pairs, pool.map(_inspect, pairs), strict=True):
            if isinstance(found, SourceError):
                bad.append(str(found))
                photos += [pair.mask] * isinstance(found, NoMaskError)
            else:
                brightest, same_size = found
                if brightest == 0:
                    black.append(pair.mask)
                elif brightest < _FAINT:
                    faint.append((pair.mask, brightest))
                if not same_size:
                    resized.append(pair.mask)
            advance()
    refuse_photos(photos, len(pairs), "masks")
    weak = len(faint) + len(black)
    if weak and weak == len(pairs) - len(bad):
        raise SourceError(_all_weak(faint, black))
    action = "are resized" if fit else "cannot be used; --fit-masks resizes them"
    kinds = {
        "masks cannot be read": bad,
        "masks are black": [str(path) for path in black],
        "masks are nowhere brighter than half; class numbers?": [
            f"{path} ({_level(value)})" for path, value in faint
        ],
        f"masks have another size than their picture and {action}": [str(p) for p in resized],
    }
    return tuple(
        f"{len(names)} of {len(pairs)} {kind}: {shortened(names, _NAMES)}"
        for kind, names in kinds.items()
        if names
    )


def refuse_photos(photos: Sequence[Path], count: int, what: str) -> None:
    """Raise SourceError if more than half of ``count`` masks are ``photos``: the wrong folder."""
    if len(photos) * 2 > count:
        raise SourceError(
            f"{len(photos)} of {count} {what} are photos: "
            f"{shortened([str(path) for path in photos], _NAMES)}; name the folder of the masks"
        )


def class_numbers(what: str, few: Sequence[tuple[Path, float]], count: int) -> str:
    """Return the message about ``count`` masks, of which ``few`` are shown with their maxima."""
    shown = ", ".join(f"{path} (at most {_level(value)} of 255)" for path, value in few[:_NAMES])
    return (
        f"all {count} {what} are nowhere brighter than half: {shown}; "
        "if they hold class numbers, save the subject as 255"
    )


def _inspect(pair: Pair) -> SourceError | tuple[float, bool]:
    """Return the mask's maximum and whether its size equals the picture's; or the error."""
    try:
        levels = read_mask(pair.mask)
    except SourceError as error:
        return error
    try:
        size_hw = picture_size(pair.image)
    except SourceError:  # reported when the pair is used
        return float(levels.max()), True
    return float(levels.max()), levels.shape in (size_hw, size_hw[::-1])


def _all_weak(faint: list[tuple[Path, float]], black: list[Path]) -> str:
    if faint:
        return class_numbers("masks", faint, len(faint) + len(black))
    names = shortened([str(path) for path in black], _NAMES)
    return f"all {len(black)} masks are black: {names}; is it the right folder?"


def _level(value: float) -> int:
    return round(value * 255)


def _has_alpha(pixels: Pixels) -> bool:
    return bool(pixels.ndim == 3 and pixels.shape[2] == 4 and np.ptp(pixels[..., 3]) > 0)


def _of_palette(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Mask:
    foreground = indices != 0
    void = (
        (indices == _VOID) if tuple(palette[_VOID]) == _VOID_COLOUR else np.zeros_like(foreground)
    )
    if void.any():
        return Mask((foreground & ~void).astype(np.float32), frozenset({"palette", "void"}))
    return Mask(foreground.astype(np.float32), frozenset({"palette"}))


def _of_colours(rgb: NDArray[np.uint8], path: Path) -> Mask:
    packed = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, counts = np.unique(packed, return_counts=True)
    if len(colours) <= _FEW:
        void = packed == int.from_bytes(bytes(_VOID_COLOUR))
        foreground = (packed != 0) & ~void
        if colours[0] != 0:
            raise NoMaskError(_not_black(path, colours, counts))
        kinds: frozenset[Kind] = frozenset({"colour", "void"} if void.any() else {"colour"})
        return Mask(foreground.astype(np.float32), kinds)
    levels = _of_one_hue(rgb)
    if levels is None:
        levels = _of_nearest_class(rgb)
    if levels is None:
        raise NoMaskError(_not_black(path, colours, counts))
    return Mask(levels, frozenset({"colour"}))


def _of_one_hue(rgb: NDArray[np.uint8]) -> Levels | None:
    """Return the brightness of a mask in a single hue on black, such as red with soft edges."""
    value = rgb.max(axis=2)
    lit = value > _DARK
    if lit.mean() > 1 - _BLACK_SHARE:
        return None
    hues = rgb[lit] / value[lit][:, None]
    if hues.std(axis=0).max() > 0.1:
        return None
    return np.asarray(value / np.float32(value.max()), np.float32)


def _of_nearest_class(rgb: NDArray[np.uint8]) -> Levels | None:
    """Return 1 where the nearest common colour is not black; None if it is not a class map."""
    shift = 4
    packed = (rgb >> shift).astype(np.int64) @ np.array([256, 16, 1])
    counts = np.bincount(packed.ravel(), minlength=4096)
    used = np.flatnonzero(counts)
    sums = [np.bincount(packed.ravel(), rgb[..., c].ravel(), 4096)[used] for c in range(3)]
    means = np.stack(sums, axis=1) / counts[used][:, None]
    centres = [np.zeros(3)]
    for at in np.argsort(-counts[used]):
        if min(np.linalg.norm(means[at] - centre) for centre in centres) > _APART:
            centres.append(means[at])
        if len(centres) > _MOST_CLASSES:
            return None
    distances = np.linalg.norm(means[:, None] - np.stack(centres)[None], axis=2)
    nearest, share = distances.argmin(axis=1), counts[used] / packed.size
    if distances.min(axis=1) @ share > _NEAR or share[nearest == 0].sum() < _BLACK_SHARE:
        return None
    table = np.zeros(4096, np.float32)
    table[used] = nearest != 0
    return np.asarray(table[packed], np.float32)


def _not_black(path: Path, colours: NDArray[np.uint32], counts: NDArray[np.int64]) -> str:
    order = np.argsort(-counts)[:_NAMES]
    found = [f"#{colours[at]:06x} ({counts[at] / counts.sum():.0%})" for at in order]
    more = len(colours) - len(found)
    names = ", ".join(found) + (f" and {more:,} more" if more > 0 else "")
    return f"{path}: is a colour picture and no mask on black: it has {names}"
