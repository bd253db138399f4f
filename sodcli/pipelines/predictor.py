"""From a picture to its saliency map: the heart of ``sod infer`` and of the Python API."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sodcli.errors import MissingError, UsageError, WeightsError
from sodcli.frame import Frame
from sodcli.imaging.tensors import to_input, to_saliency
from sodcli.io.pictures import decode_picture, read_picture
from sodcli.models.pdc import reparameterise
from sodcli.models.restore import identify, restore
from sodcli.pipelines.backends import Backend, TorchBackend
from sodcli.pipelines.device import choose_device
from sodcli.registry import ModelSpec, Registry, default_registry
from sodcli.weights.cache import locate
from sodcli.weights.read import RawWeights, read_weights

if TYPE_CHECKING:
    from torch import nn

DEFAULT_MODEL = "sdnet"
_SMALLEST_SIDE = 32


class Predictor:
    """A network with its weights, ready to answer; call it with a picture.

    Attributes:
        spec: The model's entry in models.toml.
        module: The torch module, in eval mode; ``module(x).logits``.
        backend: What runs it: normalised arrays in, logits out.
        weights: The file the weights came from; ``None`` for fresh ones.
        size_hw: Height and width in pixels at which the network sees every picture.
    """

    def __init__(
        self,
        spec: ModelSpec,
        module: "nn.Module",
        backend: Backend,
        *,
        size: int | None = None,
        weights: Path | None = None,
    ) -> None:
        if size is not None and size < _SMALLEST_SIDE:
            raise UsageError(f"--size {size}: the network needs at least {_SMALLEST_SIDE} pixels")
        self.spec, self.module, self.backend, self.weights = spec, module, backend, weights
        self.size_hw = spec.input_hw if size is None else (size, size)

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

        Raises:
            DeviceError: If the device has not enough memory.
            UsageError: If the network takes clips of a film, not pictures.
        """
        spec = self.spec
        if spec.clip_len > 1:
            raise UsageError(f"{spec.name!r} takes clips of a film; for pictures use -m sdnet")
        inputs = [
            to_input(_over_white(f), self.size_hw, spec.mean, spec.std, antialias=True)
            for f in frames
        ]
        logits = self.backend.run(np.stack(inputs))
        return [
            frame.with_saliency(to_saliency(answer[0], frame.size_hw))
            for frame, answer in zip(frames, logits, strict=True)
        ]


def load(
    name: str | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    half: bool = False,
    reparam: bool = True,
    size: int | None = None,
    registry: Registry | None = None,
) -> Predictor:
    """Return a predictor for the model ``name`` of models.toml.

    Args:
        name: The model; by default the one that ``weights`` belong to, else the built-in sdnet.
        weights: A name of models.toml, or a file in our layout or in the published one; by default
            the model's own entry.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        half: Compute in bfloat16.
        reparam: Fold difference convolutions first (DCR): same answer, faster.
        size: Side in pixels of the square that the network sees; by default the one the weights
            were trained at, if they say so, else the published one.
        registry: Entries to look names up in; by default those that ship with the package.

    Raises:
        UnknownNameError: If there is no such model.
        MissingError: If the weights are not on this machine.
        WeightsError: If they are damaged or belong to another model.
        DeviceError: If there is no such device.
    """
    registry = registry or default_registry()
    target = choose_device(device)
    spec, raw = find_weights(name, weights, registry)
    module = restore(spec, raw, registry)
    if reparam:
        module = reparameterise(module)
    backend = TorchBackend(module, target, half=half)
    return Predictor(spec, module, backend, size=size or raw.size, weights=raw.path)


def find_weights(
    name: str | None, weights: str | Path | None, registry: Registry
) -> tuple[ModelSpec, RawWeights]:
    """Return the model that is meant and the tensors for it; see :func:`load` for the rules."""
    if weights is None:
        spec = registry.model(name or DEFAULT_MODEL)
        if spec.weights is None:
            raise MissingError(f"no weights of {spec.name!r} are known; pass a file with -w PATH")
        return spec, read_weights(locate(spec.weights, registry))
    spec_or_none = registry.model(name) if name is not None else None
    raw = read_weights(locate(str(weights), registry))
    spec_or_none = spec_or_none or identify(raw, registry)
    if spec_or_none is None:
        raise WeightsError(f"{raw.path}: fits no model of models.toml; name one with -m MODEL")
    return spec_or_none, raw


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
    buffer = io.BytesIO()
    suffix = "TIFF" if image.mode in ("CMYK", "LAB", "YCbCr", "F", "I", "HSV") else "PNG"
    image.save(buffer, suffix, exif=image.getexif(), compress_level=0)
    return buffer.getvalue()


def _over_white(frame: Frame) -> NDArray[np.uint8]:
    """Return what a viewer shows: colours under transparent pixels are often leftovers."""
    if frame.alpha is None:
        return frame.rgb
    alpha = frame.alpha[..., None].astype(np.uint16)
    shown = (frame.rgb * alpha + 255 * (255 - alpha) + 127) // 255
    return shown.astype(np.uint8)
