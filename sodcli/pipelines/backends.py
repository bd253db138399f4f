"""What runs the network: arrays in, arrays out, whatever lies between."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sodcli.errors import DeviceError, WeightsError

Array = NDArray[np.float32]


class Backend(Protocol):
    """The one method that a predictor needs."""

    def run(self, batch: Array) -> Array:
        """Map ``(N, 3, H, W)`` float32, normalised, to logits ``(N, 1, H, W)`` float32."""
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

        Raises:
            DeviceError: If the device has not enough memory.
            WeightsError: If the answer is not finite.
        """
        try:
            logits = self._forward(torch.from_numpy(batch))
        except (RuntimeError, MemoryError) as error:  # the first covers torch.OutOfMemoryError
            if not _is_memory(error):
                raise
            raise DeviceError(
                f"{self._device}: out of memory for {len(batch)} picture(s) of "
                f"{batch.shape[-1]}x{batch.shape[-2]}; lower --batch or --size, or use --device cpu"
            ) from error
        if not np.isfinite(logits).all():
            raise WeightsError("the network's answer is not finite; the weights are damaged")
        return logits

    @torch.inference_mode()
    def _forward(self, batch: torch.Tensor) -> Array:
        x = batch.to(device=self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            logits = self.module(x).logits
        array: Array = logits.float().cpu().numpy()
        return array


def _is_memory(error: Exception) -> bool:
    """Say whether memory ran out; on a CPU PyTorch has no error class of its own for that."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "allocate memory" in str(error)
