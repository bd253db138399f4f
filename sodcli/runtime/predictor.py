"""From a picture to its saliency map: the Python API and the core of ``sod infer``."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import SodError, UsageError
from sodcli.fetch.weights import Supply
from sodcli.frame import Frame
from sodcli.imaging.blend import over_white
from sodcli.imaging.tensors import half_size, sigmoid, to_input, to_saliency, with_context
from sodcli.registry import ModelSpec, Registry, default_registry
from sodcli.runtime.backends import Array, Backend
from sodcli.runtime.backends.choose import (
    BackendRequest,
    check_request,
    decide,
    decide_for_graph,
    make_backend,
)
from sodcli.runtime.backends.graph_cache import Graphs
from sodcli.runtime.device import choose_device, set_threads, thread_count, use_free_cores
from sodcli.runtime.high_resolution import SMALLEST_SIDE, input_sizes, large_size
from sodcli.runtime.inputs import Picture, to_frame
from sodcli.runtime.model_source import ModelSource, find_network
from sodcli.weights.download_settings import DownloadEvents

if TYPE_CHECKING:
    from torch import nn

    from sodcli.io.settings import Style
    from sodcli.runtime.backends.torch_backend import TorchBackend


class Predictor:
    """A network with its weights; call it with a picture.

    Threads may share one predictor. It can be pickled and used after a fork; each process opens its
    own copy of the network.

    Attributes:
        spec: The model's entry in models.toml.
        origin: The torch module, or the source to build it from.
        backend: Runs the network: normalised arrays in, logits out.
        weights: The weights file; ``None`` for randomly initialised weights.
        size_hw: Height and width in pixels that pictures are resized to for the network.
        large: The second, larger pass that InSPyReNet makes over large pictures; ``None`` if there
            is none.
    """

    def __init__(
        self,
        spec: ModelSpec,
        origin: "nn.Module | ModelSource",
        backend: Backend,
        *,
        size: int | None = None,
        trained: int | None = None,
        weights: Path | None = None,
    ) -> None:
        if size is not None and size < SMALLEST_SIDE:
            raise UsageError(f"size {size}: the network needs at least {SMALLEST_SIDE} pixels")
        self.spec, self.origin, self.backend, self.weights = spec, origin, backend, weights
        self.size_hw, self.large = input_sizes(spec, size=size, trained=trained)

    @property
    def batching(self) -> Backend | None:
        """The backend for :func:`sodcli.runtime.batching.batched`.

        ``None`` if pictures are processed one by one because some have a second pass.
        """
        return self.backend if self.large is None else None

    @cached_property
    def module(self) -> "nn.Module":
        """The torch module, in eval mode; ``module(x).logits``.

        If another backend runs the network, the module is built on the CPU at the first access.
        """
        return self.origin.build() if isinstance(self.origin, ModelSource) else self.origin

    def __call__(self, image: Picture) -> NDArray[np.float32]:
        """Return the saliency of one picture.

        In an asynchronous program use ``await asyncio.to_thread(predictor, image)``.

        Args:
            image: A path, the bytes of a picture file, an open binary file, a ``PIL.Image``, an
                array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, or a torch tensor ``(C, H, W)``;
                uint8, uint16, or float in ``[0, 1]``.

        Returns:
            ``(H, W)`` float32 in ``[0, 1]``, at the picture's own size as displayed (EXIF
            orientation applied).

        Raises:
            SourceError: If the picture cannot be read.
            TypeError: If the type, shape, dtype or value range of ``image`` is not supported.
            DeviceError: If the device is out of memory.
            WeightsError: If the network's outputs are not finite.
        """
        return _saliency(self.predict([to_frame(image)])[0])

    def many(
        self,
        images: Iterable[Picture],
        *,
        batch: int | None = None,
        errors: Literal["raise", "yield"] = "raise",
    ) -> Iterator[NDArray[np.float32] | SodError | TypeError]:
        """Yield the saliency of each picture, in order; pictures are read as they are needed.

        Args:
            images: Pictures of any type that :meth:`__call__` accepts.
            batch: Pictures per forward pass; by default the fastest number, found by timing the
                first ones.
            errors: What to do if a picture cannot be read: ``"raise"`` raises the error,
                ``"yield"`` yields it in place of the result and continues.

        Yields:
            ``(H, W)`` float32 in ``[0, 1]``.

        Raises:
            SourceError: If a picture cannot be read.
            TypeError: If ``images`` is not iterable, or a picture is of an unsupported type.
        """
        for answer in self._answers(images, batch):
            if isinstance(answer, Frame):
                yield _saliency(answer)
            elif errors == "yield":
                yield answer
            else:
                raise answer

    def cut_out(
        self,
        image: Picture,
        type: str = "rgba",  # noqa: A002 - the name of the option
        *,
        background: Picture | None = None,
        refine: bool = True,
        threshold: float | None = None,
        clean: bool = True,
    ) -> NDArray[np.uint8]:
        """Return the pixels that ``sod infer --type`` writes.

        Args:
            image: A picture of any type that :meth:`__call__` accepts.
            type: A value of ``sod infer --type``: ``rgba``, ``map``, ``green``, ``blur``, a colour,
                the path of a background picture, ...
            background: A picture to put behind the subject; replaces ``type``.
            refine: Remove the old background's colour from soft edges.
            threshold: Binarise the map: pixels with at least this saliency, in ``[0, 1]``, become
                1, all others 0. ``None`` keeps the map soft.
            clean: Remove specks and pinholes, see :func:`sodcli.imaging.matte.clean`.

        Returns:
            uint8 of the picture's size: ``(H, W)`` for ``map``, ``(H, W, 4)`` RGBA with straight
            alpha for types with transparency, ``(H, W, 3)`` RGB for the others.

        Raises:
            UsageError: If there is no such type, or the threshold is out of range.
            SourceError: If a picture cannot be read.
            TypeError: If the type, shape, dtype or value range of a picture is not supported.
        """
        check_threshold(threshold)
        style = _style(type, background, refine)
        frame = self.predict([to_frame(image)])[0]
        return drawn(frame, style, threshold=threshold, clean=clean)

    def film(
        self, path: str | Path, *, batch: int | None = None, frames: int | None = None
    ) -> Iterator[Frame]:
        """Yield the frames of a film with their saliency, in order, with bounded memory.

        Args:
            path: A film file that ffmpeg can read.
            batch: Frames, or clips of a clip model, per forward pass; by default the fastest
                number for frames, and 1 for clips.
            frames: Stop after this number of frames.

        Yields:
            Frames; ``frame.rgb`` is ``(H, W, 3)`` uint8, ``frame.saliency`` is ``(H, W)`` float32
            in ``[0, 1]``, ``frame.seconds`` is the time in seconds if the frame rate varies.

        Raises:
            SourceError: If the film cannot be read.
        """
        from sodcli.io.films.read import FilmReader
        from sodcli.runtime.stream import saliency_stream

        return saliency_stream(self, FilmReader(Path(path), frames=frames), batch=batch)

    def _answers(
        self, images: Iterable[Picture], batch: int | None
    ) -> Iterator[Frame | SodError | TypeError]:
        from sodcli.runtime.batching import batched, retry_smaller

        def work(items: Sequence[Frame | SodError | TypeError]) -> list[Any]:
            frames = [item for item in items if isinstance(item, Frame)]
            answers = iter(retry_smaller(self.predict, frames))
            return [next(answers) if isinstance(item, Frame) else item for item in items]

        return batched(work, map(_frame_or_error, images), backend=self.batching, batch=batch)

    def predict(self, frames: Sequence[Frame], *, still: bool = True) -> list[Frame]:
        """Return ``frames`` with their saliency, computed as one batch.

        A clip model processes each frame as a clip of one frame; for the frames of a film see
        :func:`sodcli.runtime.stream.saliency_stream`.

        Args:
            frames: Pictures.
            still: See :meth:`logits`.

        Raises:
            DeviceError: If the device is out of memory.
            WeightsError: If the network's outputs are not finite.
        """
        return [
            frame.with_saliency(to_saliency(answer, frame.size_hw))
            for frame, answer in zip(frames, self.logits(frames, still=still), strict=True)
        ]

    def predict_small(self, frames: Sequence[Frame], *, still: bool = True) -> list[Frame]:
        """Return ``frames`` with their saliency at the network's size, without their alpha.

        Args:
            frames: Pictures.
            still: See :meth:`logits`.

        Raises:
            DeviceError: If the device is out of memory.
            WeightsError: If the network's outputs are not finite.
        """
        answers = map(sigmoid, self.logits(frames, still=still))
        return [replace(frame, saliency=one) for frame, one in zip(frames, answers, strict=True)]

    def logits(self, frames: Sequence[Frame], *, still: bool = True) -> list[NDArray[np.float32]]:
        """Return the logits for each frame, ``(h, w)`` float32, at the size of its last pass.

        Pictures with a second, larger pass are processed one by one to bound the memory.

        Args:
            frames: Pictures.
            still: They are not frames of a film: a model with ``spec.context`` sees them a second
                time, at half size. On films that costs a third more time and lowers no error.
        """
        if self.spec.clip_len > 1:
            stills = np.stack([self.prepare(frame)[None] for frame in frames])
            return [answer[0, 0] for answer in self.backend.run(stills)]
        twice = [self._large_hw(frame) for frame in frames]
        once = [self.prepare(frame) for frame, hw in zip(frames, twice, strict=True) if hw is None]
        answers = iter(self._run(np.stack(once), still) if once else ())
        return [
            next(answers) if hw is None else self._blended(frame, hw)
            for frame, hw in zip(frames, twice, strict=True)
        ]

    def _run(self, batch: Array, still: bool) -> Iterable[Array]:
        answers = self.backend.run(batch)[:, 0]
        if not still or self.spec.context == 0:
            return answers
        coarse = self.backend.run(half_size(batch, SMALLEST_SIDE))[:, 0]
        return [
            with_context(own, other, self.spec.context)
            for own, other in zip(answers, coarse, strict=True)
        ]

    def prepare(self, frame: Frame, size_hw: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """Return the network's input for ``frame``: ``(3, h, w)`` float32, normalised."""
        return prepared(frame, self.spec, size_hw or self.size_hw)

    def _large_hw(self, frame: Frame) -> tuple[int, int] | None:
        if self.large is None or not self.backend.blends:
            return None
        return large_size(self.large, frame.size_hw)

    def _blended(self, frame: Frame, size_hw: tuple[int, int]) -> NDArray[np.float32]:
        large, small = self.prepare(frame, size_hw)[None], self.prepare(frame)[None]
        answer: Array = self.backend.blend(large, small)[0, 0]
        return answer


def load(
    name: str | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    half: bool = False,
    reparam: bool = True,
    size: int | None = None,
    offline: bool = False,
    watch: DownloadEvents | None = None,
    registry: Registry | None = None,
    backend: str = "auto",
    compiled: bool = False,
    threads: int | None = None,
    pictures: int | None = None,
) -> Predictor:
    """Return a predictor for the model ``name`` of models.toml.

    Weights listed in models.toml are downloaded at their first use, verified and cached.

    Args:
        name: The model; by default the one that ``weights`` belong to, else the built-in model.
        weights: A name in models.toml, a file in our layout or in the published one, or an ONNX
            file that ``sod export`` wrote; by default the weights that models.toml lists for the
            model.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        half: Compute in bfloat16.
        reparam: Fold difference convolutions (DCR) and norms first: same output, faster.
        size: Side in pixels of the square that pictures are resized to; by default the size the
            weights were trained at, if the file states it, else the published size. For models with
            a second pass see :func:`sodcli.runtime.high_resolution.input_sizes`.
        offline: Download nothing; the environment variable ``SOD_OFFLINE`` has the same effect.
        watch: Receives the progress of downloads; by default it is not reported.
        registry: Where names are looked up; by default models.toml.
        backend: ``torch``, ``onnx``, ``openvino``, or ``auto``: the fastest that is installed; see
            :func:`sodcli.runtime.backends.choose.decide`.
        compiled: Compile the network with ``torch.compile``.
        threads: CPU threads; by default every core that this process may use. PyTorch's are at most
            its present setting, and fewer if other programs keep cores busy.
        pictures: Number of pictures to process, if known; ``auto`` takes it into account.

    Raises:
        UsageError: If the backend is unknown, not installed or not for this device or model.
        UnknownNameError: If there is no such model.
        MissingError: If the weights are neither on this machine nor available for download.
        WeightsError: If they are damaged or belong to another model.
        DeviceError: If there is no such device.
    """
    registry, watch = registry or default_registry(), watch or DownloadEvents()
    request = BackendRequest(backend, device, half, compiled, pictures)
    check_request(request)
    if backend == "torch" or device not in ("auto", "cpu"):
        choose_device(device)  # report a missing device before downloading anything
    supply = Supply(offline=offline, events=watch)
    source = find_network(name, weights, registry, supply, reparam=reparam)
    graphs = Graphs(source)
    if source.is_graph:
        chosen = decide_for_graph(request, source.path)
        _require_size(source, size)
    else:
        chosen = decide(request, source.spec, graphs, reparam=reparam)
    origin: nn.Module | ModelSource = source
    runner: Backend
    if chosen == "torch":
        runner = _torch_backend(source, request, threads)
        origin = runner.module
    else:
        runner = make_backend(
            chosen, graphs, thread_count(threads), half=half, fixed_shape=source.fixed_shape
        )
        if source.spec.clip_len == 1:
            # Open an existing graph in a thread, while the caller reads the first picture. Make a
            # missing graph now, so that its errors are raised here.
            start = runner.open_ahead if graphs.exist() else runner.open_now
            start(many=(pictures or 1) > 1)
    return Predictor(
        source.spec, origin, runner, size=size, trained=source.trained, weights=source.path
    )


def _require_size(source: ModelSource, size: int | None) -> None:
    """Raise ``UsageError`` if the graph of ``source`` is fixed to another size."""
    hw = (source.fixed_shape or ())[-2:]
    if size is not None and hw not in ((), (size, size)):
        raise UsageError(f"size {size}: {source.path} is fixed to {hw[0]}x{hw[1]} pixels")


def check_threshold(threshold: float | None) -> None:
    """Raise UsageError unless the threshold is None or in ``[0, 1]``."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"threshold must be from 0 to 1, not {threshold:g}")


def drawn(
    frame: Frame, style: "Style", *, threshold: float | None, clean: bool
) -> NDArray[np.uint8]:
    """Return the output pixels of a photo with saliency; see :meth:`Predictor.cut_out`."""
    from sodcli.imaging.matte import UNCLEANED_TYPES
    from sodcli.imaging.matte import clean as clean_matte

    saliency = _saliency(frame)
    if clean and style.kind not in UNCLEANED_TYPES:
        saliency = clean_matte(saliency, frame.alpha)
    return style.render(replace(frame, saliency=saliency), threshold)


def _frame_or_error(image: Picture) -> Frame | SodError | TypeError:
    try:
        return to_frame(image)
    except (SodError, TypeError) as error:
        return error


def _saliency(frame: Frame) -> NDArray[np.float32]:
    if frame.saliency is None:
        raise ValueError("the frame has no saliency yet")
    return frame.saliency


def _style(kind: str, background: Picture | None, refine: bool) -> "Style":
    """Return the style of a value of ``--type``, or of a background picture."""
    from sodcli.imaging.compose import PICTURE, Look
    from sodcli.io.pictures.colour import in_srgb
    from sodcli.io.settings import Style, choose_style

    if background is not None:
        behind = in_srgb(to_frame(background))
        return Style(PICTURE, PICTURE, Look(over_white(behind.rgb, behind.alpha), refine))
    return choose_style(kind, refine=refine)


def _torch_backend(
    source: ModelSource, request: BackendRequest, threads: int | None
) -> "TorchBackend":
    from sodcli.runtime.backends.torch_backend import TorchBackend

    device, remark = choose_device(request.device), ""
    if device.type == "cpu":
        remark = use_free_cores(threads)
    elif threads is not None:
        set_threads(threads)
    return TorchBackend(
        source.build(),
        device,
        half=request.half,
        compiled=request.compiled,
        remark=remark,
        threads=None if threads is None else thread_count(threads),
    )


def prepared(frame: Frame, spec: ModelSpec, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return the network's input for ``frame``: ``(3, *size_hw)`` float32, normalised."""
    visible = over_white(frame.rgb, frame.alpha)
    return to_input(visible, size_hw, spec.mean, spec.std, antialias=True)
