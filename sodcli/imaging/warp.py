"""Bring a map from one frame of a film onto another along optical flow (numpy only)."""

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Flow = NDArray[np.float32]


def warp(values: Map, flow: Flow) -> Map:
    """Return ``values`` at the places that ``flow`` points to (RCRNet, arXiv 1908.04051).

    Bilinear between the four neighbours, exactly as published: outside of the map its edge goes on.

    Args:
        values: ``(H, W)`` float32, of the frame that is pointed into.
        flow: ``(H, W, 2)`` float32 in pixels, x first: from each pixel of the target frame to its
            place in the other one.

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
    """Return the length of ``(H, W, 2)`` flow in shares of width and height, ``(H, W)``."""
    height, width = flow.shape[:2]
    return np.asarray(np.hypot(flow[..., 0] / width, flow[..., 1] / height), np.float32)


def resize_flow(flow: Flow, size_hw: tuple[int, int]) -> Flow:
    """Resize ``(H, W, 2)`` flow bilinearly to another grid, its vectors to that grid's pixels."""
    height, width = flow.shape[:2]
    if (height, width) == size_hw:
        return flow
    scale = np.array([size_hw[1] / width, size_hw[0] / height], np.float32)
    return np.asarray(cv2.resize(flow, size_hw[::-1], interpolation=cv2.INTER_LINEAR) * scale)


def _clamped(places: Map, count: int) -> NDArray[np.intp]:
    return np.clip(places, 0, count - 1).astype(np.intp)
