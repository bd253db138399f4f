"""Run clip models on films of any length and on cameras."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import numpy as np

from sodcli.data.clips import PAPER_CUTS, extended
from sodcli.frame import Frame
from sodcli.imaging.tensors import fit_map, sigmoid
from sodcli.runtime.backends import Array
from sodcli.runtime.batching import retry_smaller
from sodcli.runtime.predictor import Predictor

if TYPE_CHECKING:
    import torch

_SEEN_AT_ONCE: Final = 8

Seen: TypeAlias = "list[torch.Tensor] | Array"
"""What is kept of a frame: its features, or its network input if the network cannot be split."""


def blended(predictor: Predictor, frames: Iterable[Frame], *, batch: int) -> Iterator[Frame]:
    """Yield ``frames`` with their saliency, from clips that overlap by half.

    A frame's map is the weighted mean of the probabilities from all clips that contain it. The
    weight falls linearly from the middle of a clip to its ends. Probabilities are averaged rather
    than logits because logits are unbounded, so a single clip could dominate the mean. The last
    clip is aligned to the end of the film. A film shorter than a clip is extended by mirroring it
    (see :func:`sodcli.data.clips.extended`).

    Raises:
        DeviceError: If the device does not have enough memory for one clip.
        WeightsError: If the network's outputs are not finite.
    """
    network = _network(predictor)
    for _, scene in groupby(frames, lambda frame: frame.size_hw):
        yield from _averaged(network, scene, predictor.spec.clip_len, batch)


def chunked(
    predictor: Predictor, frames: Iterable[Frame], *, batch: int, gap: int | None = None
) -> Iterator[Frame]:
    """Yield ``frames`` with their saliency, from the clips that the model's paper tests with.

    The clips are cut by ``sodcli.data.clips.PAPER_CUTS`` from every ``gap``-th frame, by default
    ``spec.frame_gap``. If a frame is in two clips, the result of the later clip is used. Raises the
    same errors as :func:`blended`.
    """
    network = _network(predictor)
    length = predictor.spec.clip_len
    step = gap or predictor.spec.frame_gap
    span = step * length
    cut = PAPER_CUTS[predictor.spec.short_film]
    for _, scene in groupby(frames, lambda frame: frame.size_hw):
        held: list[Frame] = []
        while group := list(islice(scene, span)):
            again = (held + group)[-span:] if held and len(group) < span else group
            yield from held[: len(held) + len(group) - len(again)]
            held = _disjoint(network, again, cut(len(again), length, step), batch)
        yield from held


class LiveClip:
    """Computes the saliency of the newest frame from the last ``spec.clip_len`` frames.

    Per-frame features are computed once and kept, and only the part of the clip's decoder that the
    newest frame depends on is run. A frame of another size starts a new clip.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._network = _network(predictor)
        self._seen: deque[Seen] = deque(maxlen=predictor.spec.clip_len)
        self._size_hw = (0, 0)

    def __call__(self, frame: Frame) -> Frame:
        """Return ``frame`` with its saliency; raises the same errors as :func:`blended`."""
        if frame.size_hw != self._size_hw:
            self._seen.clear()
        self._size_hw = frame.size_hw
        self._seen += self._network.see([frame])
        newest = self._network.maps([list(self._seen)], newest=1)[0][0]
        return frame.with_saliency(fit_map(newest, frame.size_hw))


class _Whole:
    """Runs the whole network on every clip, for backends that cannot split it."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def see(self, frames: Sequence[Frame]) -> list[Seen]:
        return [self._predictor.prepare(frame) for frame in frames]

    def maps(self, clips: Sequence[Sequence[Seen]], newest: int = 0) -> list[Array]:
        """Return the probabilities of the ``newest`` last frames of each clip; 0 stands for all."""
        batch = np.stack([np.stack(cast(Sequence[Array], clip)) for clip in clips])
        return list(sigmoid(self._predictor.backend.run(batch)[:, -newest:, 0]))


class _Parted:
    """Computes the features of each frame once and decodes clips from them."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def see(self, frames: Sequence[Frame]) -> list[Seen]:
        inputs = [self._predictor.prepare(frame) for frame in frames]
        return retry_smaller(self._features, inputs)

    def maps(self, clips: Sequence[Sequence[Seen]], newest: int = 0) -> list[Array]:
        seen = cast(list["list[torch.Tensor]"], [one for clip in clips for one in clip])
        length, size_hw = len(clips[0]), self._predictor.size_hw
        logits = self._predictor.backend.decode(seen, length, size_hw, newest or length)
        return list(sigmoid(logits[:, :, 0]))

    def _features(self, inputs: Sequence[Array]) -> list[Seen]:
        stages = self._predictor.backend.features(np.stack(inputs))
        return [[stage[place : place + 1] for stage in stages] for place in range(len(inputs))]


@dataclass(slots=True)
class _Open:
    """A frame for which some clips have not been processed yet."""

    frame: Frame
    seen: Seen
    total: Array | float = 0.0
    weight: float = 0.0

    def add(self, probability: Array, weight: float) -> None:
        self.total = self.total + weight * probability
        self.weight += weight

    def closed(self) -> Frame:
        mean = np.asarray(self.total / self.weight, np.float32)
        return self.frame.with_saliency(fit_map(mean, self.frame.size_hw))


def _network(predictor: Predictor) -> _Whole | _Parted:
    return _Parted(predictor) if predictor.backend.splits else _Whole(predictor)


def _averaged(
    network: _Whole | _Parted, film: Iterator[Frame], length: int, batch: int
) -> Iterator[Frame]:
    hop = max(1, length // 2)
    waiting: list[_Open] = []  # frames from the start of the last complete clip
    first, wanted = 0, length + hop * (batch - 1)  # next clip's index in waiting; frames to read
    while group := list(islice(film, wanted)):
        waiting += _opened(network, group)
        starts = range(first, len(waiting) - length + 1, hop)
        _add_weighted(network, waiting, [range(start, start + length) for start in starts], batch)
        if starts:
            yield from (item.closed() for item in waiting[: starts[-1]])
            del waiting[: starts[-1]]
            first, wanted = hop, hop * batch
    rest = len(waiting) - length
    if rest > 0:
        _add_weighted(network, waiting, [range(rest, len(waiting))], batch)
    elif waiting and not first:
        _add_weighted(network, waiting, [extended(len(waiting), length)], batch)
    yield from (item.closed() for item in waiting)


def _opened(network: _Whole | _Parted, frames: list[Frame]) -> list[_Open]:
    opened: list[_Open] = []
    for start in range(0, len(frames), _SEEN_AT_ONCE):
        some = frames[start : start + _SEEN_AT_ONCE]
        opened += [_Open(*both) for both in zip(some, network.see(some), strict=True)]
    return opened


def _add_weighted(
    network: _Whole | _Parted, waiting: Sequence[_Open], clips: Sequence[Sequence[int]], batch: int
) -> None:
    """Add the weighted maps of ``clips`` (indices into ``waiting``); middle frames weigh most."""
    for clip, maps in _answers(network, waiting, clips, batch):
        for nth, (place, probability) in enumerate(zip(clip, maps, strict=True)):
            waiting[place].add(probability, min(nth + 1, len(clip) - nth))


def _disjoint(
    network: _Whole | _Parted, frames: list[Frame], clips: Sequence[Sequence[int]], batch: int
) -> list[Frame]:
    """Return ``frames``, each with its map from the last of ``clips`` that contains it."""
    opened = _opened(network, frames)
    for clip, maps in _answers(network, opened, clips, batch):
        for place, probability in zip(clip, maps, strict=True):
            opened[place].total, opened[place].weight = probability, 1.0
    return [item.closed() for item in opened]


def _answers(
    network: _Whole | _Parted, opened: Sequence[_Open], clips: Sequence[Sequence[int]], batch: int
) -> Iterator[tuple[Sequence[int], Array]]:
    """Yield each clip with its maps, computed in batches of clips."""
    for some in (clips[start : start + batch] for start in range(0, len(clips), batch)):
        seen = [[opened[place].seen for place in clip] for clip in some]
        yield from zip(some, retry_smaller(network.maps, seen), strict=True)
