"""FGPLG: a frame's saliency from the labels of two frames around it (ICCV 2019, section 3.3).

Paper: RCRNet, arXiv 1908.04051. The labels are warped onto the frame by optical flow; the
network corrects the result.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from sodcli.errors import UsageError
from sodcli.imaging.evidence import PACKED
from sodcli.models._base import Prediction
from sodcli.models.rcrnet import RCRNet

_CHANNELS: Final = 7  # RGB of the frame, two labels, two flow magnitudes


class FGPLG(RCRNet):
    """RCRNet's image model on a frame with two warped labels and two flow magnitudes."""

    def __init__(self, output_stride: int = 16) -> None:
        super().__init__(_CHANNELS, output_stride)

    def forward(
        self,
        target: Tensor,
        left_label: Tensor | None = None,
        right_label: Tensor | None = None,
        flow_left: Tensor | None = None,
        flow_right: Tensor | None = None,
    ) -> Prediction:
        """Return the logits of the target frame, ``(N, 1, H, W)``.

        Args:
            target: ``(N, 3, H, W)``, normalised. Or all five inputs concatenated in this order,
                ``(N, 9, H, W)``, for callers that pass a single tensor.
            left_label: ``(N, 1, H, W)`` in ``[0, 1]``, of an earlier frame.
            right_label: The same for a later frame.
            flow_left: ``(N, 2, H, W)``, in pixels: from each pixel of the target to its position
                in the earlier frame, x first.
            flow_right: The same into the later frame.

        Raises:
            UsageError: If inputs are missing.
        """
        given = [
            x for x in (target, left_label, right_label, flow_left, flow_right) if x is not None
        ]
        if target.shape[1] == sum(PACKED):
            given = list(torch.split(target, list(PACKED), dim=1))
        if len(given) < len(PACKED):
            raise UsageError(
                "fgplg answers no picture alone: it needs the labels of two frames around it, and "
                "the flows into them; use: sod pseudo-label"
            )
        return super().forward(gather(*given))


def gather(
    target: Tensor, left_label: Tensor, right_label: Tensor, flow_left: Tensor, flow_right: Tensor
) -> Tensor:
    """Return the network's input ``(N, 7, H, W)``; see :meth:`FGPLG.forward`."""
    warped = (warp(left_label, flow_left), warp(right_label, flow_right))
    lengths = (magnitude(flow_left), magnitude(flow_right))
    return torch.cat([target, *warped, *lengths], dim=1)


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Sample ``x`` bilinearly at the positions that ``flow`` points to, with border padding.

    The same as ``imaging.flow.warp``, for tensors.

    Args:
        x: ``(N, C, H, W)``.
        flow: ``(N, 2, H, W)`` in pixels, x first.
    """
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    # Grid coordinates: -1 is the centre of the first pixel, 1 that of the last.
    across = (flow[:, 0] + columns) * (2 / max(width - 1, 1)) - 1
    down = (flow[:, 1] + rows) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack([across, down], dim=-1)
    return F.grid_sample(x, grid, "bilinear", "border", align_corners=True)


def magnitude(flow: Tensor) -> Tensor:
    """Return the length of ``(N, 2, H, W)`` flow relative to width and height, ``(N, 1, H, W)``."""
    height, width = flow.shape[-2:]
    return torch.hypot(flow[:, :1] / width, flow[:, 1:] / height)


def build(*, output_stride: int = 16) -> FGPLG:
    """Return the network with fresh weights.

    Args:
        output_stride: Output stride of the backbone: 16 or 8.
    """
    return FGPLG(output_stride)
