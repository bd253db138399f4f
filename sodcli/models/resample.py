"""Bring feature maps and pictures to a size."""

from torch import Tensor
from torch.nn import functional as F


def resize(x: Tensor, size_hw: tuple[int, ...], *, corners: bool = False) -> Tensor:
    """Resize ``(N, C, H, W)`` bilinearly, without antialiasing, to ``size_hw``.

    Args:
        x: What to resize; returned as it is when it has that size.
        size_hw: Height and width.
        corners: Let the centres of the corner pixels meet, instead of the outer edges.
    """
    if x.shape[-2:] == size_hw:
        return x
    return F.interpolate(x, size_hw, mode="bilinear", align_corners=corners)


def round_up(side: int, multiple: int) -> int:
    """Return the least multiple of ``multiple`` that is not below ``side``.

    Written with positive numbers only, so that an exported graph, whose division cuts towards
    zero, computes the same.
    """
    return (side + multiple - 1) // multiple * multiple


def round_to(side: int, multiple: int) -> int:
    """Return the multiple of ``multiple``, an even number, next to ``side``; ties to even ones.

    The same as ``round(side / multiple) * multiple``, in whole numbers, which a graph can compute.
    """
    whole, rest = side // multiple, side % multiple
    return (whole + (rest + whole % 2 + multiple // 2 - 1) // multiple) * multiple


def pad_to(x: Tensor, multiple: int, *, least: int = 1) -> Tensor:
    """Append zeros below and on the right until both sides are multiples of ``multiple``.

    Args:
        x: ``(N, C, H, W)``; zero is the mean colour of a normalised picture.
        multiple: Of it both sides become multiples.
        least: No side stays under this many pixels.
    """
    height, width = (_at_least(least, round_up(side, multiple)) for side in x.shape[-2:])
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))


def _at_least(least: int, side: int) -> int:
    """Return ``max(least, side)``, without a choice that a graph would make once and for all."""
    return side + (least - side + abs(least - side)) // 2
