"""What runs the network: arrays in, arrays out, whatever lies between."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sodcli.errors import DeviceError, WeightsError

Array = NDArray[np.float32]


class Backend(Protocol):
    """The one method that a predictor needs."""

    def run(self, batch: Array) -> Array:
        """Map ``(N, 3, H, W)`` float32, normalised, to logits ``(N, 1, H, W)`` float32.

        For clips ``(N, T, 3, H, W)`` and ``(N, T, 1, H, W)``.
        """
        ...


class TorchBackend:
    """PyTorch on any device, channels last.

    Args:
        module: A network of this package, in eval mode.
        device: Where it runs.
        half: Compute in bfloat16 where PyTorch's autocast does.
    """

    def __init__(self, module: nn.Module, device: torch.device, *, half: bool) -> None:
        self.module = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device, self._half = device, half

    def run(self, batch: Array) -> Array:
        """Map ``(N, 3, H, W)`` float32, normalised, to logits ``(N, 1, H, W)`` float32.

        For clips ``(N, T, 3, H, W)`` and ``(N, T, 1, H, W)``.

        Raises:
            DeviceError: If the device has not enough memory.
            WeightsError: If the answer is not finite.
        """
        with self._running(_say(batch.shape)):
            return _finite(self.module(self._moved(batch)).logits)

    def blend(self, large: Array, small: Array) -> Array:
        """Return the logits of a :class:`BlendingNetwork` for the same pictures at two sizes.

        Raises:
            DeviceError: If the device has not enough memory.
            WeightsError: If the answer is not finite.
        """
        with self._running(_say(large.shape)):
            x, x_lr = self._moved(large), self._moved(small)
            return _finite(self.module.blended(x, x_lr))

    def features(self, batch: Array) -> list[Tensor]:
        """Return what a :class:`SplitNetwork` needs of each of ``(N, 3, H, W)`` frames.

        Raises:
            DeviceError: If the device has not enough memory.
        """
        with self._running(_say(batch.shape)):
            features: list[Tensor] = self.module.features(self._moved(batch))
            return features

    def decode(
        self, seen: Sequence[Sequence[Tensor]], frames: int, size_hw: tuple[int, int], newest: int
    ) -> Array:
        """Return the logits of clips of a :class:`SplitNetwork`.

        Args:
            seen: Of every frame of every clip what :meth:`features` gave of it.
            frames: Of a clip.
            size_hw: Height and width of the answer.
            newest: Frames of each clip that are answered, the last ones.

        Returns:
            ``(N, newest, 1, H, W)`` float32.

        Raises:
            DeviceError: If the device has not enough memory.
            WeightsError: If the answer is not finite.
        """
        with self._running(_say((len(seen) // frames, frames, *size_hw, *size_hw))):
            features = [torch.cat(parts) for parts in zip(*seen, strict=True)]
            return _finite(self.module.decode(features, frames, size_hw, newest))

    def _moved(self, batch: Array) -> Tensor:
        x = torch.from_numpy(batch).to(self._device)
        pictures = x.flatten(0, -4).contiguous(memory_format=torch.channels_last)
        return pictures.view(x.shape)  # of a clip every frame is channels last

    @contextmanager
    def _running(self, what: str) -> Iterator[None]:
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, torch.bfloat16, enabled=self._half),
            ):
                yield
        except (RuntimeError, MemoryError) as error:  # the first covers torch.OutOfMemoryError
            if not _is_memory(error):
                raise
            raise DeviceError(
                f"{self._device}: out of memory for {what}; lower --batch or --size, "
                "or use --device cpu"
            ) from error


def _say(shape: tuple[int, ...]) -> str:
    kind = "picture(s)" if len(shape) == 4 else f"clip(s) of {shape[1]} frames"
    return f"{shape[0]} {kind} of {shape[-1]}x{shape[-2]}"


def _finite(logits: Tensor) -> Array:
    array: Array = logits.float().cpu().numpy()
    if not np.isfinite(array).all():
        raise WeightsError("the network's answer is not finite; the weights are damaged")
    return array


def _is_memory(error: Exception) -> bool:
    """Say whether memory ran out; on a CPU PyTorch has no error class of its own for that."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "allocate memory" in str(error)
