"""Resize and pad feature maps and pictures."""

from torch import Tensor
from torch.nn import functional as F


def resize(x: Tensor, size_hw: tuple[int, ...], *, corners: bool = False) -> Tensor:
    """Resize ``(N, C, H, W)`` bilinearly, without antialiasing, to ``size_hw``.

    Args:
        x: The tensor to resize; returned unchanged if it already has that size.
        size_hw: Height and width.
        corners: Align the centres of the corner pixels instead of their outer edges
            (``align_corners=True``).
    """
    if x.shape[-2:] == size_hw:
        return x
    return F.interpolate(x, size_hw, mode="bilinear", align_corners=corners)


def double(x: Tensor) -> Tensor:
    """Resize ``(N, C, H, W)`` bilinearly to ``(N, C, 2H, 2W)``.

    Equal to :func:`resize`, but a graph then holds the factor in place of a size, and ONNX Runtime
    has a faster kernel for whole factors.
    """
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def round_up(side: int, multiple: int) -> int:
    """Return ``side`` rounded up to a multiple of ``multiple``.

    Only positive numbers are divided, because division in an exported graph truncates towards
    zero.
    """
    return (side + multiple - 1) // multiple * multiple


def round_to(side: int, multiple: int) -> int:
    """Return ``side`` rounded to the nearest multiple of ``multiple``, which must be even.

    Equal to ``round(side / multiple) * multiple``, ties to even included, but in integer
    arithmetic, which an exported graph can compute.
    """
    whole, rest = side // multiple, side % multiple
    return (whole + (rest + whole % 2 + multiple // 2 - 1) // multiple) * multiple


def pad_to(x: Tensor, multiple: int, *, least: int = 1) -> Tensor:
    """Pad with zeros at the bottom and right until both sides are multiples of ``multiple``.

    Args:
        x: ``(N, C, H, W)``; zero is the mean colour of a normalised picture.
        multiple: Both sides become multiples of it.
        least: Minimum of both sides in pixels.
    """
    height, width = (_at_least(least, round_up(side, multiple)) for side in x.shape[-2:])
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))


def _at_least(least: int, side: int) -> int:
    """Return ``max(least, side)`` without a branch, which tracing would make constant."""
    return side + (least - side + abs(least - side)) // 2
