"""Backends run a network: arrays in, arrays out. Nothing in this module imports PyTorch."""

import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import WeightsError

# OpenVINO uses this package to send usage data at every import, and it writes to the home
# directory.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

Array = NDArray[np.float32]
MAX_WORKERS: Final = 8  # threads that run a network at the same time; each needs its own memory


class Backend:
    """Runs one network. Subclasses implement :meth:`run` and the optional methods they support.

    All methods may be called from several threads at once.

    Attributes:
        where: Device, precision and name of the backend, for messages.
        workers: Number of threads that should run the network in parallel, each on its share of the
            cores; 1 if one call on all cores is expected to be faster.
        blends: Whether :meth:`blend` works.
        splits: Whether :meth:`features` and :meth:`decode` work for this network.
    """

    where: str = ""
    workers: int = 1
    blends: bool = False
    splits: bool = False

    def run(self, batch: Array) -> Array:
        """Map ``(N, 3, H, W)`` float32, normalised, to logits ``(N, 1, H, W)`` float32.

        For clips, map ``(N, T, 3, H, W)`` to ``(N, T, 1, H, W)``.

        Raises:
            DeviceError: If the device is out of memory.
            WeightsError: If the logits are not finite.
        """
        raise NotImplementedError

    def blend(self, large: Array, small: Array) -> Array:
        """Return the logits ``(N, 1, H, W)`` of InSPyReNet's pyramid blending.

        Args:
            large: ``(N, 3, H, W)`` float32, normalised.
            small: The same pictures at the network's base size.

        Raises:
            DeviceError: If the device is out of memory.
            WeightsError: If the logits are not finite.
        """
        raise NotImplementedError

    def features(self, batch: Array) -> list[Any]:
        """Return the per-frame features of a clip model, tensors ``(N, ...)``.

        Args:
            batch: ``(N, 3, H, W)`` float32, normalised.

        Raises:
            DeviceError: If the device is out of memory.
        """
        raise NotImplementedError

    def decode(
        self, seen: Sequence[Sequence[Any]], frames: int, size_hw: tuple[int, int], newest: int
    ) -> Array:
        """Return the logits of clips, computed from the features of their frames.

        Args:
            seen: The features of each frame of each clip, from :meth:`features`.
            frames: Frames in a clip.
            size_hw: Height and width of the logits.
            newest: Number of frames, counted from the end of each clip, to return logits for.

        Returns:
            ``(N, newest, 1, H, W)`` float32.

        Raises:
            DeviceError: If the device is out of memory.
            WeightsError: If the logits are not finite.
        """
        raise NotImplementedError

    def start_worker(self) -> None:
        """Limit the calling thread to its share of the cores; called once in each worker."""

    def workers_started(self) -> None:
        """Restore the global settings that :meth:`start_worker` changed, for later threads."""


def finite(logits: Array) -> Array:
    """Return ``logits``.

    Raises:
        WeightsError: If they are not finite.
    """
    if not np.isfinite(logits).all():
        raise WeightsError("the network's answer is not finite; the weights are damaged")
    return logits


def describe_batch(shape: Sequence[int]) -> str:
    """Return a description of a batch of this shape for messages."""
    kind = "picture(s)" if len(shape) == 4 else f"clip(s) of {shape[1]} frames"
    return f"{shape[0]} {kind} of {shape[-1]}x{shape[-2]}"
