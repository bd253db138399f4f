"""From a picture to its saliency map: the heart of ``sod infer`` and of the Python API."""

import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sodcli.errors import SourceError, UsageError
from sodcli.fetch.weights import Supply
from sodcli.frame import Frame
from sodcli.imaging.blend import over_white
from sodcli.imaging.tensors import to_input, to_saliency
from sodcli.io.pictures.decode import DAMAGE
from sodcli.io.pictures.read import decode_picture, read_picture
from sodcli.registry import ModelSpec, Registry, default_registry
from sodcli.runtime.backends import Array, Backend, BlendingBackend
from sodcli.runtime.backends.choose import Wish, check_wish, decide, make_backend
from sodcli.runtime.backends.graph_cache import Graphs
from sodcli.runtime.device import choose_device, set_threads, thread_count
from sodcli.runtime.high_resolution import Sizes
from sodcli.runtime.model_source import Blueprint, find_network
from sodcli.weights.expected import DownloadEvents

if TYPE_CHECKING:
    from torch import nn

    from sodcli.runtime.backends.graph_backend import GraphBackend

_SMALLEST_SIDE = 32
_FILE_MODES = {"HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "PA": "RGBA", "La": "LA"}


class Predictor:
    """A network with its weights, ready to answer; call it with a picture.

    Attributes:
        spec: The model's entry in models.toml.
        origin: The torch module, or what it can be built from.
        backend: What runs it: normalised arrays in, logits out.
        weights: The file the weights came from; ``None`` for fresh ones.
        size_hw: Height and width in pixels at which the network sees every picture.
        large: The second, larger look that it takes at some, if it can blend the two.
    """

    def __init__(
        self,
        spec: ModelSpec,
        origin: "nn.Module | Blueprint",
        backend: Backend,
        *,
        size: int | None = None,
        trained: int | None = None,
        weights: Path | None = None,
    ) -> None:
        if size is not None and size < _SMALLEST_SIDE:
            raise UsageError(f"--size {size}: the network needs at least {_SMALLEST_SIDE} pixels")
        self.spec, self.origin, self.backend, self.weights = spec, origin, backend, weights
        sizes = Sizes.of(spec, size=size, trained=trained)
        self.size_hw, self.large = sizes.base_hw, sizes.large

    @cached_property
    def module(self) -> "nn.Module":
        """The torch module, in eval mode; ``module(x).logits``.

        Where another backend runs the network it is built when first asked for, on the CPU.
        """
        return self.origin.build() if isinstance(self.origin, Blueprint) else self.origin

    def __call__(
        self, image: str | Path | bytes | Image.Image | NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Return the saliency of one picture.

        Args:
            image: A path, the bytes of a picture file, a ``PIL.Image``, or an array
                ``(H, W, 3)`` uint8, RGB.

        Returns:
            ``(H, W)`` float32 in ``[0, 1]``, at the picture's own size as displayed (EXIF
            orientation applied).

        Raises:
            SourceError: If the picture cannot be read.
            TypeError: If ``image`` is of another type, shape or dtype.
        """
        (frame,) = self.predict([_as_frame(image)])
        assert frame.saliency is not None  # predict's promise, for the type checker
        return frame.saliency

    def predict(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return ``frames`` with their saliency, computed as one batch.

        A network for clips takes each as a clip in which nothing moves; for the frames of a film
        see :func:`sodcli.runtime.stream.saliency_stream`.

        Raises:
            DeviceError: If the device has not enough memory.
        """
        return [
            frame.with_saliency(to_saliency(answer, frame.size_hw))
            for frame, answer in zip(frames, self.logits(frames), strict=True)
        ]

    def logits(self, frames: Sequence[Frame]) -> list[NDArray[np.float32]]:
        """Return the network's answer to each frame, ``(h, w)``, at the size it saw it last.

        Pictures that it looks at twice are taken one by one, which bounds the memory.
        """
        if self.spec.clip_len > 1:
            stills = np.stack([self.prepare(frame)[None] for frame in frames])
            return [answer[0, 0] for answer in self.backend.run(stills)]
        twice = [self._large_hw(frame) for frame in frames]
        once = [self.prepare(frame) for frame, hw in zip(frames, twice, strict=True) if hw is None]
        answers = iter(self.backend.run(np.stack(once)) if once else ())
        return [
            next(answers)[0] if hw is None else self._blended(frame, hw)
            for frame, hw in zip(frames, twice, strict=True)
        ]

    def prepare(self, frame: Frame, size_hw: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """Return what the network sees of ``frame``: ``(3, h, w)`` float32, normalised."""
        return prepared(frame, self.spec, size_hw or self.size_hw)

    def _large_hw(self, frame: Frame) -> tuple[int, int] | None:
        if self.large is None or not isinstance(self.backend, BlendingBackend):
            return None
        return self.large.size_hw(frame.size_hw)

    def _blended(self, frame: Frame, size_hw: tuple[int, int]) -> NDArray[np.float32]:
        assert isinstance(self.backend, BlendingBackend)  # _large_hw's promise
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

    Weights that models.toml names are downloaded when they are first needed, checked and kept.

    Args:
        name: The model; by default the one that ``weights`` belong to, else the built-in sdnet.
        weights: A name of models.toml, or a file in our layout or in the published one; by default
            the model's own entry.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        half: Compute in bfloat16.
        reparam: Fold difference convolutions (DCR) and norms first: same answer, faster.
        size: Side in pixels of the square that the network sees; by default the one the weights
            were trained at, if they say so, else the published one. For a network that looks at
            large pictures twice see :class:`sodcli.runtime.high_resolution.Sizes`.
        offline: Download nothing; the environment variable ``SOD_OFFLINE`` says so for good.
        watch: Is told of a download; by default it is silent.
        registry: Entries to look names up in; by default those that ship with the package.
        backend: ``torch``, ``onnx``, ``openvino``, or ``auto``: the fastest that is installed; see
            :func:`sodcli.runtime.backends.choose.decide`.
        compiled: Let ``torch.compile`` build the network.
        threads: CPU threads; by default what PyTorch is set to, every core for other backends.
        pictures: How many there will be, if that is known; ``auto`` heeds it.

    Raises:
        UsageError: If the backend is unknown, not installed or not for this device or model.
        UnknownNameError: If there is no such model.
        MissingError: If the weights are neither here nor to be had.
        WeightsError: If they are damaged or belong to another model.
        DeviceError: If there is no such device.
    """
    registry, watch = registry or default_registry(), watch or DownloadEvents()
    wish = Wish(backend, device, half, compiled, pictures)
    check_wish(wish)
    if backend == "torch":
        choose_device(device)  # what is missing is told before anything is fetched
    supply = Supply(offline=offline, events=watch)
    network = find_network(name, weights, registry, supply, reparam=reparam)
    graphs = Graphs(network, watch.note)
    chosen = decide(wish, network.spec, graphs, reparam=reparam)
    if chosen == "torch":
        return _with_torch(network, wish, size, threads)
    runner = make_backend(chosen, graphs, thread_count(threads), half=half)
    return _with_graph(network, graphs, runner, size, many=(pictures or 1) > 1)


def _with_graph(
    network: Blueprint, graphs: Graphs, runner: "GraphBackend", size: int | None, *, many: bool
) -> Predictor:
    if network.spec.clip_len == 1:
        # While the first picture is read, but what making a graph may raise is told at once.
        ready = runner.begin if graphs.here() else runner.open
        ready(many=many)
    return _predictor(network, network, runner, size)


def _predictor(
    network: Blueprint, module: "nn.Module | Blueprint", runner: Backend, size: int | None
) -> Predictor:
    """Return the predictor for ``network``, built or not, with what its file says of it."""
    return Predictor(
        network.spec, module, runner, size=size, trained=network.trained, weights=network.path
    )


def _with_torch(network: Blueprint, wish: Wish, size: int | None, threads: int | None) -> Predictor:
    from sodcli.runtime.backends.torch_backend import TorchBackend

    target = choose_device(wish.device)
    if threads is not None:
        set_threads(threads)
    module = network.build()
    runner = TorchBackend(module, target, half=wish.half, compiled=wish.compiled)
    return _predictor(network, module, runner, size)


def prepared(frame: Frame, spec: ModelSpec, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return what the network of ``spec`` sees of ``frame``: ``(3, *size_hw)``, normalised."""
    shown = over_white(frame.rgb, frame.alpha)
    return to_input(shown, size_hw, spec.mean, spec.std, antialias=True)


def _as_frame(image: object) -> Frame:
    if isinstance(image, str | Path):
        return read_picture(Path(image))
    if isinstance(image, bytes):
        return decode_picture(image, name="picture")
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise TypeError(f"need (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
        return Frame(rgb=image, index=0, name="picture")
    if isinstance(image, Image.Image):
        return decode_picture(_encoded(image), name="picture")
    raise TypeError(f"need a path, bytes, PIL.Image or array, not {type(image).__name__}")


def _encoded(image: Image.Image) -> bytes:
    """Write a PIL picture losslessly, so that modes and orientation take the one way of files."""
    try:
        image.load()  # of a picture opened from a file, only now
    except DAMAGE as error:
        raise SourceError(f"picture: {error}") from error
    buffer, exif = io.BytesIO(), image.getexif()
    if image.mode in _FILE_MODES:  # those that no file of Pillow's has
        image = image.convert(_FILE_MODES[image.mode])
    suffix = "TIFF" if image.mode in ("CMYK", "LAB", "YCbCr", "F", "I") else "PNG"
    try:
        image.save(buffer, suffix, exif=exif, compress_level=0)
    except (OSError, ValueError) as error:
        raise TypeError(f"PIL.Image {image.mode} {image.size}: {error}") from error
    return buffer.getvalue()
