"""Clean a saliency map and estimate its quality from the map alone."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.imaging.framing import SUBJECT

Floats = NDArray[np.float32]

_FAINT: Final = 0.2  # minimum saliency of a connected component
_SPECK: Final = 0.02  # share of the largest component's area
_HOLE: Final = 0.002  # share of the subject's area
_LOW, _HIGH = 0.05, 0.90  # mapped to 0 and 1

UNCLEANED_TYPES: Final = ("map", "overlay")  # output types that show the network's own map

DOUBTFUL: Final = 0.75  # certainty below which a result should be looked at
_MOST_SOFT: Final = 3.0
_OFFSET: Final = 0.966
_WEIGHTS: Final = (0.068, -4.232, -0.127, 0.019, -0.018)  # in the order of ``map_statistics``


def clean(saliency: Floats, alpha: NDArray[np.uint8] | None = None) -> Floats:
    """Remove specks, fill pinholes, and make nearly opaque pixels opaque.

    Soft edges and thin parts are kept: nothing is eroded or smoothed. Saliency from 0.05 to 0.9 is
    mapped to 0 to 1. Connected components of at least 0.2 are then removed if they have less than
    2% of the largest one's area. Enclosed holes below 0.8 are filled if they are smaller than
    4 pixels or 0.2% of the subject, whichever is more.

    Args:
        saliency: ``(H, W)`` in ``[0, 1]``.
        alpha: ``(H, W)`` uint8, the picture's own alpha channel, which the result does not exceed.

    Returns:
        ``(H, W)`` float32 in ``[0, 1]``.
    """
    out = np.clip((saliency - _LOW) / (_HIGH - _LOW), 0, 1, dtype=np.float32)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((out >= _FAINT).view(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    small = (areas > 0) & (areas < _SPECK * areas.max())
    if small.any():
        speck = small[labels].view(np.uint8)
        out[cv2.dilate(speck, np.ones((3, 3), np.uint8)).view(np.bool_) & (out < _FAINT)] = 0
        out[speck.view(np.bool_)] = 0
    out = _without_pinholes(out)
    return out if alpha is None else np.minimum(out, alpha.astype(np.float32) / np.float32(255))


def _without_pinholes(matte: Floats) -> Floats:
    open_ = (matte < 1 - _FAINT).view(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(open_, connectivity=4)
    area = float((matte >= SUBJECT).sum())
    height, width = matte.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right = left + stats[:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[:, cv2.CC_STAT_HEIGHT]
    inner = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    tiny = inner & (stats[:, cv2.CC_STAT_AREA] < max(4.0, _HOLE * area))
    tiny[0] = False  # the pixels that are not open
    if tiny.any():
        matte[tiny[labels]] = 1
    return matte


def certainty(saliency: Floats) -> float:
    """Estimate how well a map fits its subject, from the map alone.

    Maps that are soft, faint or scattered are usually wrong. The result estimates the intersection
    over union with the true mask, by a linear fit on training photos; see
    ``tests/benchmarks/certainty.py``.

    Args:
        saliency: ``(H, W)`` in ``[0, 1]``, before any cleaning.

    Returns:
        0 (surely wrong, or empty) to 1.
    """
    return float(np.clip(_OFFSET + np.dot(_WEIGHTS, map_statistics(saliency)), 0, 1))


def map_statistics(saliency: Floats) -> NDArray[np.float64]:
    """Return the five features that ``certainty`` uses, from the map resized to 256 px.

    The subject is the area of saliency at least 0.5. In order:

    - area of saliency between 0.1 and 0.9, relative to the subject's area or, if that is less, to
      1% of the picture; at most 3;
    - one minus the mean saliency of the subject;
    - share of the subject outside its largest connected component;
    - square root of the subject's share of the picture;
    - share of the picture's border that the subject covers.

    Without a subject they are 3, 1, 1, 0 and 0.
    """
    scale = 256 / max(saliency.shape)
    size_wh = (max(1, round(saliency.shape[1] * scale)), max(1, round(saliency.shape[0] * scale)))
    small = cv2.resize(saliency, size_wh, interpolation=cv2.INTER_AREA)
    inside = small >= SUBJECT
    area = int(inside.sum())
    if not area:
        return np.array([_MOST_SOFT, 1.0, 1.0, 0.0, 0.0])
    soft = ((small > 0.1) & (small < 0.9)).sum() / max(area, 0.01 * small.size)
    pieces = cv2.connectedComponentsWithStats(inside.view(np.uint8))[2][1:, cv2.CC_STAT_AREA]
    border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]]).mean()
    faint, scattered = 1 - small[inside].mean(), 1 - pieces.max() / area
    share = np.sqrt(area / small.size)
    return np.array([min(soft, _MOST_SOFT), faint, scattered, share, border], np.float64)
