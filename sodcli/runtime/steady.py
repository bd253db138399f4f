"""A temporal filter for films: the maps of a picture model, averaged along the motion.

A picture model processes each frame independently, so its maps flicker. This filter warps the
running mean of the previous maps to the new frame by optical flow and averages it with the new map.
Each pixel is weighted by how well the warped previous picture matches the new one: where the flow
is wrong, only the new map is used, and after a cut the mean is reset. The filter is causal, so it
also works for cameras.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.frame import Frame

Map = NDArray[np.float32]
Grey = NDArray[np.uint8]

_SIDE: Final = 320  # longer side in pixels at which frames are compared and maps averaged
_SMALLEST: Final = 32  # smallest side in pixels that the optical flow works with
_KEPT: Final = 0.9  # weight of the previous mean where the pictures match: about ten frames
_NOISE: Final = 9.0  # difference in grey levels (0 to 255) at which the weight is _KEPT / e
_CUT: Final = 30.0  # mean difference in grey levels above which a cut is assumed


class SteadyFilter:
    """Smooths the maps of consecutive frames."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._picture: Grey | None = None
        self._total = self._weight = np.zeros((0, 0), np.float32)

    def __call__(self, frame: Frame) -> Frame:
        """Return ``frame`` with its saliency smoothed.

        A frame of another size resets the filter.

        Raises:
            ValueError: If ``frame`` has no saliency.
        """
        if frame.saliency is None:
            raise ValueError("the frame has no saliency")
        height, width = frame.size_hw
        scale = min(1.0, _SIDE / max(height, width))
        small_wh = max(_SMALLEST, round(width * scale)), max(_SMALLEST, round(height * scale))
        small = cv2.resize(frame.rgb, small_wh, interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        shrunk = cv2.resize(frame.saliency, small_wh, interpolation=cv2.INTER_AREA)
        saliency = np.asarray(shrunk, np.float32)
        if self._picture is None or self._picture.shape != picture.shape:
            self._total, self._weight = saliency, np.ones_like(saliency)
        else:
            self._follow(self._picture, picture)
            self._total, self._weight = self._total + saliency, self._weight + 1
        self._picture = picture
        change = self._total / self._weight - saliency  # only this is enlarged: edges stay sharp
        enlarged = cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)
        return replace(frame, saliency=np.clip(frame.saliency + enlarged, 0, 1, dtype=np.float32))

    def _follow(self, before: Grey, picture: Grey) -> None:
        """Warp the weighted sum of maps and the weights to the new picture by optical flow."""
        flow = self._flow.calc(picture, before, None)  # type: ignore[call-overload]
        height, width = picture.shape
        x = flow[..., 0] + np.arange(width, dtype=np.float32)
        y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
        moved = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        miss = cv2.blur(cv2.absdiff(picture, moved).astype(np.float32), (5, 5))
        kept = np.float32(_KEPT) * np.exp(-((miss / np.float32(_NOISE)) ** 2))
        kept[(x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)] = 0
        if miss.mean() > _CUT:
            kept[:] = 0
        self._total, self._weight = (
            kept * cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for values in (self._total, self._weight)
        )


def steadied(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield frames with their saliency smoothed, one by one."""
    yield from map(SteadyFilter(), frames)
