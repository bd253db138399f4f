"""Optical flow between two frames of a film: one interface, and OpenCV's method behind it.

The published generator of pseudo labels takes FlowNet2's flow, which needs CUDA extensions of its
own. DIS (arXiv 1603.03590) needs no weights and no GPU; ``sodcli.models.raft`` is the other choice.
"""

from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.imaging.warp import resize_flow

_SMALLEST: Final = 32  # sides in pixels from which on DIS finds its patches
_LIMIT: Final = 480  # of the shorter side in pixels, beyond which flow costs more than it brings


class FlowEstimator(Protocol):
    """Anything that tells where each pixel of one frame lies in another one."""

    def __call__(self, target: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(H, W, 2)`` float32 in pixels, x first, on ``target``'s grid.

        Args:
            target: ``(H, W, 3)`` uint8 RGB.
            other: The other frame, of the same size; the flow points into it.
        """
        ...


def flow_between(
    estimator: FlowEstimator, target: NDArray[np.uint8], other: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return the flow from ``target`` into ``other``, of large frames from smaller versions.

    Args:
        estimator: What finds it.
        target: ``(H, W, 3)`` uint8 RGB.
        other: The other frame, of the same size.

    Returns:
        ``(H, W, 2)`` float32 in pixels of ``target``, x first.
    """
    height, width = target.shape[:2]
    scale = _LIMIT / min(height, width)
    if scale >= 1:
        return estimator(target, other)
    small_wh = (round(width * scale), round(height * scale))
    smaller = [
        np.asarray(cv2.resize(frame, small_wh, interpolation=cv2.INTER_AREA), np.uint8)
        for frame in (target, other)
    ]
    return resize_flow(estimator(*smaller), (height, width))


class DisFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016), on the CPU."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, target: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flow from ``target`` into ``other``; see :class:`FlowEstimator`."""
        height, width = target.shape[:2]
        pad = (0, max(0, _SMALLEST - height), 0, max(0, _SMALLEST - width))
        grey = [
            cv2.copyMakeBorder(
                cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), *pad, borderType=cv2.BORDER_REPLICATE
            )
            for frame in (target, other)
        ]
        flow = self._dis.calc(grey[0], grey[1], None)  # type: ignore[call-overload]
        return np.asarray(flow[:height, :width], np.float32)
