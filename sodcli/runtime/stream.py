"""The saliency of every frame of a film or a camera, in order, with bounded memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final

import numpy as np

from sodcli.frame import Frame
from sodcli.runtime.batching import batched, retry_smaller
from sodcli.runtime.clips import LiveClip, blended, chunked
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.steady import SteadyFilter, steadied

_LONGEST_RUN: Final = 16  # equal frames for which the network runs once


def saliency_stream(
    predictor: Predictor,
    frames: Iterable[Frame],
    *,
    batch: int | None = 1,
    paper: bool = False,
    gap: int | None = None,
    steady: bool = False,
    small: bool = False,
) -> Iterator[Frame]:
    """Yield every frame of a film with its saliency, in order, as soon as it is computed.

    Image models process single frames. Clip models process overlapping clips of ``spec.clip_len``
    frames, whose results are blended so that there are no visible seams between clips. A new clip
    starts where the frame size changes.

    Args:
        predictor: The loaded network.
        frames: The film's frames; read lazily, at most a few clips ahead.
        batch: Pictures, or clips, per forward pass; halved as long as memory runs out. ``None``
            chooses the fastest for pictures (see :func:`.batching.batched`) and 1 for clips.
        paper: Cut the film into clips as the clip model's paper does, without overlap (see
            :func:`.clips.chunked`).
        gap: With ``paper``, the distance between the frames of a clip, in frames. The default is
            that of the paper and assumes that ``frames`` holds every frame of the film.
        steady: Smooth the maps of picture models over time (see :mod:`.steady`).
        small: Leave the maps of picture models at the network's size.

    Raises:
        DeviceError: If the device does not have enough memory for one picture or clip.
        WeightsError: If the network's outputs are not finite.
    """
    if predictor.spec.clip_len > 1 and paper:
        return chunked(predictor, frames, batch=batch or 1, gap=gap)
    if predictor.spec.clip_len > 1:
        return blended(predictor, frames, batch=batch or 1)
    answered = picture_stream(predictor, frames, batch, small=small)
    return steadied(answered) if steady else answered


def live_predictor(predictor: Predictor, *, steady: bool = False) -> Callable[[Frame], Frame]:
    """Return a function that adds the saliency to a camera's frames without waiting for later ones.

    A clip model processes the newest frame together with the ``spec.clip_len - 1`` frames before it
    (7 for STDNet). The result equals that of running the whole clip, at less than half the
    computation.
    """
    if predictor.spec.clip_len > 1:
        return LiveClip(predictor)
    if not steady:
        return lambda frame: predictor.predict([frame], still=False)[0]
    hold = SteadyFilter()
    return lambda frame: hold(predictor.predict([frame], still=False)[0])


def picture_stream(
    predictor: Predictor,
    frames: Iterable[Frame],
    batch: int | None,
    *,
    small: bool = False,
    still: bool = False,
) -> Iterator[Frame]:
    """Yield every frame with its saliency, in order, each processed as a single picture.

    The network runs once for consecutive frames that share their pixels (:func:`share_repeats`).
    For ``still`` see :meth:`.Predictor.logits`.

    Raises:
        DeviceError: If the device does not have enough memory for one picture.
        WeightsError: If the network's outputs are not finite.
    """
    predict = partial(predictor.predict_small if small else predictor.predict, still=still)

    def work(runs: Sequence[list[Frame]]) -> list[list[Frame]]:
        answers = retry_smaller(predict, [run[0] for run in runs])
        return [
            [replace(frame, saliency=answer.saliency) for frame in run]
            for run, answer in zip(runs, answers, strict=True)
        ]

    answered = batched(work, _runs(frames), backend=predictor.batching, batch=batch)
    return chain.from_iterable(answered)


def share_repeats(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield ``frames``; where the pixels are those of the frame before, it has the same arrays.

    Screen recordings, stills with sound and films of a raised frame rate repeat frames. Do not
    write to the arrays.
    """
    before: Frame | None = None
    for frame in frames:
        if before is not None and _equal(frame, before):
            frame = replace(frame, rgb=before.rgb, alpha=before.alpha, planes=before.planes)
        yield frame
        before = frame


def _equal(frame: Frame, other: Frame) -> bool:
    """Return True if the pixels are equal; ``rgb`` follows from ``planes`` if there are any."""
    pairs = [(frame.planes, other.planes)]
    if frame.planes is None:
        pairs += [(frame.rgb, other.rgb), (frame.alpha, other.alpha)]
    return all(
        one is two or (one is not None and two is not None and np.array_equal(one, two))
        for one, two in pairs
    )


def _runs(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Group consecutive frames that share their arrays, so that a group needs no more memory."""
    run: list[Frame] = []
    for frame in frames:
        shared = run and frame.rgb is run[0].rgb and frame.alpha is run[0].alpha
        if run and not (shared and len(run) < _LONGEST_RUN):
            yield run
            run = []
        run.append(frame)
    if run:
        yield run
