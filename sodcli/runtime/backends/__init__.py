"""What runs a network: arrays in, arrays out, whatever lies between. Nothing here needs PyTorch."""

import sys
from collections.abc import Sequence
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sodcli.errors import WeightsError

# With it OpenVINO calls a server of its makers at every import, and writes to the user's home.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

Array = NDArray[np.float32]
MOST_LANES: Final = 8  # threads that run a network side by side; each needs a picture's memory


class Backend(Protocol):
    """What a predictor needs.

    Attributes:
        where: Device, precision and backend in words.
    """

    where: str

    def run(self, batch: Array) -> Array:
        """Map ``(N, 3, H, W)`` float32, normalised, to logits ``(N, 1, H, W)`` float32.

        For clips ``(N, T, 3, H, W)`` and ``(N, T, 1, H, W)``.

        Raises:
            DeviceError: If the device has not enough memory.
            WeightsError: If the answer is not finite.
        """
        ...


@runtime_checkable
class BlendingBackend(Protocol):
    """One that can also run a :class:`sodcli.models._base.BlendingNetwork` on two sizes."""

    def blend(self, large: Array, small: Array) -> Array:
        """Return the logits for pictures ``(N, 3, H, W)`` and the same, small; as of ``run``."""
        ...


@runtime_checkable
class SplitBackend(Protocol):
    """One that can part the work on clips: once per frame, then once per clip.

    Attributes:
        splits: Whether the network at hand can be parted, too.
    """

    splits: bool

    def features(self, batch: Array) -> list[Any]:
        """Return what is needed of each of ``(N, 3, H, W)`` frames: tensors ``(N, ...)``."""
        ...

    def decode(
        self, seen: Sequence[Sequence[Any]], frames: int, size_hw: tuple[int, int], newest: int
    ) -> Array:
        """Return the logits of clips from their frames' features, ``(N, newest, 1, H, W)``."""
        ...


def finite(logits: Array) -> Array:
    """Return ``logits``.

    Raises:
        WeightsError: If they are not finite.
    """
    if not np.isfinite(logits).all():
        raise WeightsError("the network's answer is not finite; the weights are damaged")
    return logits


def say(shape: Sequence[int]) -> str:
    """Return in words what a batch of that shape holds."""
    kind = "picture(s)" if len(shape) == 4 else f"clip(s) of {shape[1]} frames"
    return f"{shape[0]} {kind} of {shape[-1]}x{shape[-2]}"
