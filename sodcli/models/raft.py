"""RAFT: optical flow by recurrent all-pairs field transforms, in torchvision's implementation.

Paper: ECCV 2020, arXiv 2003.12039.
"""

from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sodcli.errors import UsageError
from sodcli.models.resample import round_up

_MULTIPLE: Final = 8
_SMALLEST: Final = 128  # minimum side in pixels, for four correlation levels at 1/8 resolution


class RaftFlow:
    """A flow estimator (``imaging.flow.FlowEstimator``) that uses RAFT.

    Args:
        module: The network from :func:`build`, with its weights loaded.
        device: The device it runs on.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._module, self._device = module.to(device).eval(), device

    @torch.inference_mode()
    def __call__(self, target: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flow from ``target`` into ``other``, ``(H, W, 2)`` float32 in pixels."""
        height, width = target.shape[:2]
        flow = self._module(self._input(target), self._input(other))
        pixels: NDArray[np.float32] = flow[0, :, :height, :width].permute(1, 2, 0).cpu().numpy()
        return np.ascontiguousarray(pixels)

    def _input(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return ``(1, 3, H', W')`` in [-1, 1], edge-padded to a size that RAFT accepts."""
        x = torch.from_numpy(np.ascontiguousarray(rgb)).to(self._device)
        x = x.permute(2, 0, 1)[None] / 127.5 - 1
        down, right = (max(round_up(side, _MULTIPLE), _SMALLEST) - side for side in rgb.shape[:2])
        return F.pad(x, (0, right, 0, down), mode="replicate")


class Raft(nn.Module):
    """torchvision's network; returns the flow of the last iteration only.

    Args:
        size: ``"small"`` or ``"large"``.
    """

    def __init__(self, size: Literal["small", "large"]) -> None:
        super().__init__()
        from torchvision.models import optical_flow  # type: ignore[import-untyped]

        make = {"small": optical_flow.raft_small, "large": optical_flow.raft_large}[size]
        self.net: nn.Module = make(weights=None)

    def forward(self, target: Tensor, other: Tensor | None = None) -> Tensor:
        """Return the flow between two ``(N, 3, H, W)`` in [-1, 1]: ``(N, 2, H, W)`` in pixels.

        Raises:
            UsageError: If ``other`` is missing.
        """
        if other is None:
            raise UsageError(
                "RAFT finds the flow between two frames, not what stands out in one; "
                "it serves sod pseudo-label --flow"
            )
        flow: Tensor = self.net(target, other)[-1]
        return flow


def build(*, size: Literal["small", "large"] = "small") -> Raft:
    """Return the network with fresh weights; see :class:`Raft`."""
    return Raft(size)
