"""Optical flow between two frames of a film: the interface and OpenCV's DIS method.

The published pseudo-label generator uses FlowNet2, which needs its own CUDA extensions. DIS (arXiv
1603.03590) needs no weights and no GPU; ``sodcli.models.raft`` is the alternative.
"""

from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Flow = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_SMALLEST: Final = 32  # minimum side in pixels for DIS
_LIMIT: Final = 480  # maximum shorter side in pixels; larger frames are shrunk first


def warp(values: Map, flow: Flow) -> Map:
    """Sample ``values`` at the positions that ``flow`` points to (RCRNet, arXiv 1908.04051).

    Bilinear interpolation with edge replication outside the map, exactly as published.

    Args:
        values: ``(H, W)`` float32, on the grid of the frame that the flow points into.
        flow: ``(H, W, 2)`` float32 in pixels, x first: from each pixel of the target frame to its
            position in the other one.

    Returns:
        ``(H, W)`` float32, on the target frame's grid.
    """
    height, width = values.shape
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    left, top = np.floor(x), np.floor(y)
    across, down = x - left, y - top
    columns = [_clamped(left + step, width) for step in (0, 1)]
    rows = [_clamped(top + step, height) for step in (0, 1)]
    upper, lower = (
        (1 - across) * values[row, columns[0]] + across * values[row, columns[1]] for row in rows
    )
    return np.asarray((1 - down) * upper + down * lower, np.float32)


def magnitude(flow: Flow) -> Map:
    """Return the length of ``(H, W, 2)`` flow, relative to width and height, ``(H, W)``."""
    height, width = flow.shape[:2]
    return np.asarray(np.hypot(flow[..., 0] / width, flow[..., 1] / height), np.float32)


def resize_flow(flow: Flow, size_hw: tuple[int, int]) -> Flow:
    """Resize ``(H, W, 2)`` flow bilinearly and scale its vectors to pixels of the new size."""
    height, width = flow.shape[:2]
    if (height, width) == size_hw:
        return flow
    scale = np.array([size_hw[1] / width, size_hw[0] / height], np.float32)
    return np.asarray(cv2.resize(flow, size_hw[::-1], interpolation=cv2.INTER_LINEAR) * scale)


def _clamped(places: Map, count: int) -> NDArray[np.intp]:
    return np.clip(places, 0, count - 1).astype(np.intp)


class FlowEstimator(Protocol):
    """A callable that returns the optical flow from one frame into another."""

    def __call__(self, target: Pixels, other: Pixels) -> Flow:
        """Return ``(H, W, 2)`` float32 in pixels, x first, on ``target``'s grid.

        Args:
            target: ``(H, W, 3)`` uint8 RGB.
            other: The other frame, of the same size; the flow points into it.
        """
        ...


def flow_between(estimator: FlowEstimator, target: Pixels, other: Pixels) -> Flow:
    """Return the flow from ``target`` into ``other``, at reduced size for large frames.

    Args:
        estimator: The flow estimator.
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

    def __call__(self, target: Pixels, other: Pixels) -> Flow:
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
