"""PyTorch: on any device, and the only backend that does all that the networks can."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sodcli.errors import DeviceError
from sodcli.models._base import SplitNetwork
from sodcli.runtime.backends import MOST_LANES, Array, finite, say
from sodcli.runtime.device import describe_device


class TorchBackend:
    """PyTorch on any device, channels last.

    Args:
        module: A network of this package, in eval mode.
        device: Where it runs.
        half: Compute in bfloat16 where PyTorch's autocast does.
        compiled: Let ``torch.compile`` build the network; the first answer then takes long.

    Attributes:
        module: The network, on the device.
        splits: Whether it is a :class:`sodcli.models._base.SplitNetwork`.
        where: Device, precision and backend in words.
        lanes: How many threads may run it side by side, each on a core of its own.
    """

    def __init__(
        self, module: nn.Module, device: torch.device, *, half: bool, compiled: bool = False
    ) -> None:
        self.module = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device, self._half = device, half
        self._network: Callable[[Tensor], Any] = torch.compile(module) if compiled else self.module
        self.splits = isinstance(module, SplitNetwork)
        self._threads = torch.get_num_threads()
        self.lanes = min(MOST_LANES, self._threads)
        if device.type != "cpu" or compiled:
            self.lanes = 1
        self.where = f"{describe_device(device, half)}, torch{' compiled' if compiled else ''}"

    def run(self, batch: Array) -> Array:
        """Map ``(N, 3, H, W)`` float32, normalised, to logits ``(N, 1, H, W)`` float32.

        For clips ``(N, T, 3, H, W)`` and ``(N, T, 1, H, W)``.

        Raises:
            DeviceError: If the device has not enough memory.
            WeightsError: If the answer is not finite.
        """
        with self._running(say(batch.shape)):
            return _array(self._network(self._moved(batch)).logits)

    def enter_lane(self) -> None:
        """Give the calling thread its share of the processor."""
        torch.get_num_threads()  # sets the thread up; later that would undo the next line
        torch.set_num_threads(self._threads // self.lanes)

    def leave_lanes(self) -> None:
        """Let threads that begin later have as many as before."""
        torch.set_num_threads(self._threads)

    def blend(self, large: Array, small: Array) -> Array:
        """Return the logits of a :class:`BlendingNetwork` for the same pictures at two sizes.

        Raises:
            DeviceError: If the device has not enough memory.
            WeightsError: If the answer is not finite.
        """
        with self._running(say(large.shape)):
            x, x_lr = self._moved(large), self._moved(small)
            return _array(self.module.blended(x, x_lr))

    def features(self, batch: Array) -> list[Tensor]:
        """Return what a :class:`SplitNetwork` needs of each of ``(N, 3, H, W)`` frames.

        Raises:
            DeviceError: If the device has not enough memory.
        """
        with self._running(say(batch.shape)):
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
        with self._running(say((len(seen) // frames, frames, *size_hw, *size_hw))):
            features = [torch.cat(parts) for parts in zip(*seen, strict=True)]
            return _array(self.module.decode(features, frames, size_hw, newest))

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


def _array(logits: Tensor) -> Array:
    return finite(logits.float().cpu().numpy())


def _is_memory(error: Exception) -> bool:
    """Say whether memory ran out; on a CPU PyTorch has no error class of its own for that."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "allocate memory" in str(error)
