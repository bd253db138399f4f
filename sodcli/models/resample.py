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


def pad_to(x: Tensor, multiple: int, *, least: int = 1) -> Tensor:
    """Append zeros below and on the right until both sides are multiples of ``multiple``.

    Args:
        x: ``(N, C, H, W)``; zero is the mean colour of a normalised picture.
        multiple: Of it both sides become multiples.
        least: No side stays under this many pixels.
    """
    height, width = (max(-(-side // multiple) * multiple, least) for side in x.shape[-2:])
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))
