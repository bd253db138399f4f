"""The PyTorch backend: runs on any device and supports all features of the networks."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sodcli.errors import DeviceError
from sodcli.models._base import SplitNetwork
from sodcli.models.fast_conv import use_plain_convolutions
from sodcli.runtime.backends import MAX_WORKERS, Array, Backend, describe_batch, finite
from sodcli.runtime.device import describe_device


class TorchBackend(Backend):
    """PyTorch, with channels-last memory layout.

    Args:
        module: A network of this package, in eval mode.
        device: The device to run it on.
        half: Compute in bfloat16 with PyTorch's autocast.
        compiled: Compile the network with ``torch.compile``; the first call is then slow.
        remark: The end of ``where``.
        threads: Lower PyTorch's CPU threads to this number, also where a pickled copy is loaded; in
            a forked process they stay at one.

    Attributes:
        module: The network, on the device.
    """

    def __init__(
        self,
        module: nn.Module,
        device: torch.device,
        *,
        half: bool,
        compiled: bool = False,
        remark: str = "",
        threads: int | None = None,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(min(threads, torch.get_num_threads()))
        if device.type != "cpu":
            use_plain_convolutions(module)
        self.module = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device, self._half, self._compiled = device, half, compiled
        self._network: Callable[[Tensor], Any] = torch.compile(module) if compiled else self.module
        self.blends = hasattr(module, "blended")
        self.splits = isinstance(module, SplitNetwork)
        self._wanted, self._threads = threads, torch.get_num_threads()
        parallel = device.type == "cpu" and not compiled
        self.workers = min(MAX_WORKERS, self._threads) if parallel else 1
        engine = f"torch{' compiled' if compiled else ''}"
        self.where, self._remark = f"{describe_device(device, half)}, {engine}{remark}", remark

    def __reduce__(self) -> tuple[Any, ...]:
        build = partial(
            TorchBackend,
            half=self._half,
            compiled=self._compiled,
            remark=self._remark,
            threads=self._wanted,
        )
        return build, (self.module, self._device)

    def run(self, batch: Array) -> Array:
        """See :class:`Backend`."""
        with self._inference(describe_batch(batch.shape)):
            return _to_array(self._network(self._to_device(batch)).logits)

    def start_worker(self) -> None:
        """See :class:`Backend`."""
        torch.get_num_threads()  # initialises the thread; done later, it would undo the next line
        torch.set_num_threads(max(1, self._threads // self.workers))

    def workers_started(self) -> None:
        """See :class:`Backend`."""
        torch.set_num_threads(torch.get_num_threads())  # the calling thread has kept its own

    def blend(self, large: Array, small: Array) -> Array:
        """See :class:`Backend`."""
        with self._inference(describe_batch(large.shape)):
            x, x_lr = self._to_device(large), self._to_device(small)
            return _to_array(self.module.blended(x, x_lr))

    def features(self, batch: Array) -> list[Tensor]:
        """See :class:`Backend`."""
        with self._inference(describe_batch(batch.shape)):
            features: list[Tensor] = self.module.features(self._to_device(batch))
            return features

    def decode(
        self, seen: Sequence[Sequence[Tensor]], frames: int, size_hw: tuple[int, int], newest: int
    ) -> Array:
        """See :class:`Backend`."""
        with self._inference(describe_batch((len(seen) // frames, frames, 3, *size_hw))):
            features = [torch.cat(parts) for parts in zip(*seen, strict=True)]
            return _to_array(self.module.decode(features, frames, size_hw, newest))

    def _to_device(self, batch: Array) -> Tensor:
        x = torch.from_numpy(batch).to(self._device)
        pictures = x.flatten(0, -4).contiguous(memory_format=torch.channels_last)
        return pictures.view(x.shape)  # each frame of a clip is channels-last

    @contextmanager
    def _inference(self, content: str) -> Iterator[None]:
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, torch.bfloat16, enabled=self._half),
            ):
                yield
        except (RuntimeError, MemoryError) as error:  # includes torch.OutOfMemoryError
            if not _is_out_of_memory(error):
                raise
            raise DeviceError(
                f"{self._device}: out of memory for {content}; lower batch or size, "
                "or use device cpu"
            ) from error


def _to_array(logits: Tensor) -> Array:
    return finite(logits.float().cpu().numpy())


def _is_out_of_memory(error: Exception) -> bool:
    """Return True if memory ran out; on a CPU PyTorch raises a plain RuntimeError."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "allocate memory" in str(error)


if hasattr(os, "register_at_fork"):
    # OpenMP's threads do not exist in a forked child; a call that uses them would never return.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
