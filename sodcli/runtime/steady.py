"""A temporal filter for films: where frames disagree along the motion, their majority decides.

A picture model processes each frame independently, so its maps flicker. This filter brings the maps
of neighbouring frames to each frame by optical flow and takes their weighted mean. A pixel's weight
is that of its path: it falls where forward and backward flow do not cancel out, or the pictures
differ, and is 0 after a cut. Where the maps agree, the mean is the result, so soft edges stay soft.
Where they contradict each other, by a variance that comes close to that of values of 0 and 1 only,
the mean is rounded to the side of the majority, as by a median. Cameras use earlier frames only;
films also some of the later ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sodcli.frame import Frame

Floats = NDArray[np.float32]
Grey = NDArray[np.uint8]

_SIDE: Final = 320  # longer side in pixels at which frames are compared and maps averaged
_SMALLEST: Final = 32  # smallest side in pixels that the optical flow works with
_KEPT: Final = np.float32(0.95)  # weight from frame to frame where the path is certain
_NOISE: Final = np.float32(25.0)  # difference in grey levels at which it is _KEPT / e
_SLIP: Final = np.float32(1.0)  # sum of forward and backward flow in pixels, ...
_SLIP_OF_FLOW: Final = np.float32(0.1)  # ... plus this fraction of the motion, for _KEPT / e
_CUT: Final = 30.0  # mean difference in grey levels above which a cut is assumed
_DISPUTE: Final = np.float32(4.0)  # the majority decides from 1/4 of the largest possible variance
_ROUNDING: Final = np.float32(9.0)  # slope of its decision at a mean of 0.5
_LEAST_SPREAD: Final = np.float32(1e-3)  # lower limit of the largest possible variance, a divisor
_HELD_FRAMES: Final = 16  # of a film; a frame is smoothed by the 8 to 15 that follow it
_HELD_BYTES: Final = 2**28
_PIXEL_BYTES: Final = 8  # RGB, alpha and float32 saliency


class SteadyFilter:
    """Smooths the maps of consecutive frames by the frames before them."""

    def __init__(self) -> None:
        self._linker = _Linker()
        self._last: _Moment | None = None

    def __call__(self, frame: Frame) -> Frame:
        """Return ``frame`` with its saliency smoothed.

        A frame of another size resets the filter.

        Raises:
            ValueError: If ``frame`` has no saliency.
        """
        self._last = self._linker.moment(frame, self._last)
        return self._last.smoothed(self._last.past)


def steadied(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield frames with their saliency smoothed by those before and up to 15 after them.

    Fewer frames are held if they are large.
    """
    linker = _Linker()
    held: list[_Moment] = []
    for frame in frames:
        held.append(linker.moment(frame, held[-1] if held else None))
        height, width = frame.size_hw
        fit = _HELD_BYTES // (_PIXEL_BYTES * height * width)
        if len(held) >= max(2, min(_HELD_FRAMES, fit)):
            half = len(held) // 2
            yield from _smoothed(held)[:half]
            del held[:half]
    yield from _smoothed(held)


@dataclass(frozen=True, slots=True)
class _Path:
    """Where each pixel of a picture was in another one, and how certain that is."""

    x: Floats
    y: Floats
    kept: Floats

    def carry(self, values: Floats) -> Floats:
        """Return values of the other picture, weighted, at the pixels of this one."""
        moved = cv2.remap(values, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.multiply(moved, cv2.merge((self.kept,) * 3)), np.float32)


@dataclass(frozen=True, slots=True)
class _Moment:
    """A frame of a film between its neighbours, at the size of the comparison.

    Attributes:
        frame: The frame, with its saliency.
        picture: Its grey picture, ``(h, w)``.
        own: ``(h, w, 3)``: saliency, its square, and 1.
        past: The weighted sum of ``own`` of this and the earlier frames.
        later: The path that brings sums of this frame to the one before; ``None`` if that has
            another size or does not exist.
    """

    frame: Frame
    picture: Grey
    own: Floats
    past: Floats
    later: _Path | None

    def smoothed(self, total: Floats) -> Frame:
        """Return the frame with the saliency that follows from a weighted sum."""
        mean = total[..., 0] / total[..., 2]
        variance = total[..., 1] / total[..., 2] - mean * mean
        most = np.maximum(mean * (1 - mean), _LEAST_SPREAD)
        dispute = np.clip(_DISPUTE * variance / most, 0, 1)
        majority = np.clip((mean - np.float32(0.5)) * _ROUNDING + np.float32(0.5), 0, 1)
        change = mean + dispute * (majority - mean) - self.own[..., 0]
        assert self.frame.saliency is not None
        height, width = self.frame.saliency.shape  # only the change is resized: sharp edges stay
        resized = cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)
        saliency = np.clip(self.frame.saliency + resized, 0, 1, dtype=np.float32)
        return replace(self.frame, saliency=saliency)


class _Linker:
    """Finds the paths between consecutive frames."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def moment(self, frame: Frame, before: _Moment | None) -> _Moment:
        """Return a frame with its sums and its paths to the one before."""
        if frame.saliency is None:
            raise ValueError("the frame has no saliency")
        picture = self._picture(frame, before)
        small_wh = picture.shape[::-1]
        saliency = cv2.resize(frame.saliency, small_wh, interpolation=cv2.INTER_AREA)
        planes = (saliency, cv2.multiply(saliency, saliency), np.ones_like(saliency))
        own = np.asarray(cv2.merge(planes), np.float32)
        if before is None or before.frame.size_hw != frame.size_hw:
            return _Moment(frame, picture, own, own, None)
        earlier, later = self._paths(before.picture, picture)
        return _Moment(frame, picture, own, own + earlier.carry(before.past), later)

    def _picture(self, frame: Frame, before: _Moment | None) -> Grey:
        """Return the grey picture of the comparison, the same array if the frames share theirs."""
        if before is not None and frame.rgb is before.frame.rgb:
            return before.picture
        height, width = frame.size_hw
        scale = min(1.0, _SIDE / max(height, width))
        small_wh = max(_SMALLEST, round(width * scale)), max(_SMALLEST, round(height * scale))
        small = cv2.resize(frame.rgb, small_wh, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)

    def _paths(self, before: Grey, picture: Grey) -> tuple[_Path, _Path]:
        if picture is before:
            still = np.zeros((*picture.shape, 2), np.float32)  # what the optical flow finds, too
            path = _path(picture, picture, still, still)
            return path, path
        backward = np.asarray(self._flow.calc(picture, before, None), np.float32)  # type: ignore[call-overload]
        forward = np.asarray(self._flow.calc(before, picture, None), np.float32)  # type: ignore[call-overload]
        return (
            _path(picture, before, backward, forward),
            _path(before, picture, forward, backward),
        )


def _path(picture: Grey, other: Grey, flow: Floats, back: Floats) -> _Path:
    """Return the path from ``picture`` to ``other`` along ``flow``; ``back`` is the flow back."""
    height, width = picture.shape
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    moved, returned = (
        cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for values in (other, back)
    )
    miss = cv2.blur(cv2.absdiff(picture, moved).astype(np.float32), (5, 5))
    slip = _length(flow + returned) / (_SLIP + _SLIP_OF_FLOW * _length(flow))
    kept = np.asarray(_KEPT * np.exp(-((miss / _NOISE) ** 2) - slip * slip), np.float32)
    kept[(x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)] = 0
    if miss.mean() > _CUT:
        kept[:] = 0
    return _Path(np.asarray(x), np.asarray(y), kept)


def _length(vectors: Floats) -> Floats:
    return np.asarray(cv2.magnitude(*cv2.split(vectors)), np.float32)


def _smoothed(held: list[_Moment]) -> list[Frame]:
    """Return frames smoothed by all of ``held`` and what came before."""
    frames: list[Frame] = []
    future: Floats | None = None  # the weighted sum of the later frames
    for at in reversed(range(len(held))):
        after = held[at + 1] if at + 1 < len(held) else None
        if after is not None and after.later is not None:
            future = after.later.carry(after.own if future is None else after.own + future)
        else:
            future = None
        past = held[at].past
        frames.append(held[at].smoothed(past if future is None else past + future))
    return frames[::-1]
