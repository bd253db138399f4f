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
) -> Iterator[Frame]:
    """Yield every frame of a film with its saliency, in order, as soon as it is known.

    Image models answer frame by frame. Clip models see overlapping clips of ``spec.clip_len``
    frames, whose answers fade into one another: no seam shows where one clip ends. Where the size
    of the frames changes, a new clip begins.

    Args:
        predictor: The loaded network.
        frames: The film's frames; read lazily, a few clips ahead at most.
        batch: Pictures, or clips, per forward pass; halved as often as memory asks for. ``None``
            chooses the fastest for pictures (see :func:`.batching.batched`) and 1 for clips.
        paper: Cut the film as the clip model's paper does (see :func:`.clips.chunked`), without
            overlap.
        gap: With ``paper``, from how many frames on the next frame of a clip is; by default as the
            paper has it, which is for films of which every frame is here.
        steady: Steady the maps of picture models (see :mod:`.steady`).

    Raises:
        DeviceError: If the device has not enough memory even for one picture or clip.
        WeightsError: If the network's answers are not finite.
    """
    if predictor.spec.clip_len > 1 and paper:
        return chunked(predictor, iter(frames), batch=batch or 1, gap=gap)
    if predictor.spec.clip_len > 1:
        return blended(predictor, iter(frames), batch=batch or 1)
    answered = picture_stream(predictor, frames, batch)
    return steadied(answered) if steady else answered


def live_predictor(predictor: Predictor, *, steady: bool = False) -> Callable[[Frame], Frame]:
    """Return what answers a camera's frames one by one, each at once.

    A clip model answers the newest frame from it and the ``spec.clip_len - 1`` frames before (7 of
    STDNet): no latency, and the same numbers as running the whole clip, for less than half of the
    work.
    """
    if predictor.spec.clip_len > 1:
        return LiveClip(predictor)
    if not steady:
        return lambda frame: predictor.predict([frame])[0]
    hold = SteadyFilter()
    return lambda frame: hold(predictor.predict([frame])[0])


def picture_stream(
    predictor: Predictor, frames: Iterable[Frame], batch: int | None
) -> Iterator[Frame]:
    """Yield every frame with its saliency, in order, each as a picture of its own.

    Raises:
        DeviceError: If the device has not enough memory even for one picture.
        WeightsError: If the network's answers are not finite.
    """
    work = partial(retry_smaller, predictor.predict)
    return batched(work, frames, backend=predictor.batching, batch=batch)
