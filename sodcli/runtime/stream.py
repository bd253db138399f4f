"""The saliency of every frame of a film or a camera, in order, with bounded memory."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from sodcli.frame import Frame
from sodcli.runtime.batching import batched, retry_smaller
from sodcli.runtime.clips import LiveClip, blended, chunked
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.steady import SteadyFilter, steadied


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
        return chunked(predictor, iter(frames), batch=batch or 1, gap=gap)
    if predictor.spec.clip_len > 1:
        return blended(predictor, iter(frames), batch=batch or 1)
    answered = picture_stream(predictor, frames, batch, small=small)
    return steadied(answered) if steady else answered


def live_predictor(predictor: Predictor, *, steady: bool = False) -> Callable[[Frame], Frame]:
    """Return a function that adds the saliency to a camera's frames, one by one, without latency.

    A clip model processes the newest frame together with the ``spec.clip_len - 1`` frames before it
    (7 for STDNet). The result equals that of running the whole clip, at less than half the
    computation.
    """
    if predictor.spec.clip_len > 1:
        return LiveClip(predictor)
    if not steady:
        return lambda frame: predictor.predict([frame])[0]
    hold = SteadyFilter()
    return lambda frame: hold(predictor.predict([frame])[0])


def picture_stream(
    predictor: Predictor, frames: Iterable[Frame], batch: int | None, *, small: bool = False
) -> Iterator[Frame]:
    """Yield every frame with its saliency, in order, each processed as a single picture.

    Raises:
        DeviceError: If the device does not have enough memory for one picture.
        WeightsError: If the network's outputs are not finite.
    """
    work = partial(retry_smaller, predictor.predict_small if small else predictor.predict)
    return batched(work, frames, backend=predictor.batching, batch=batch)
