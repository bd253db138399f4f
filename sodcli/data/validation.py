"""Pictures as they are, prepared as published: what a model is checked on while it trains."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sodcli.data.augment import resize_image
from sodcli.data.pairs import Pair
from sodcli.data.read import read_pair
from sodcli.errors import SourceError


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Held-out pairs without augmentation, in their order.

    Iterating yields ``(image, ground truth, name)``: ``(1, 3, size, size)`` float32 normalised;
    ``(H, W)`` uint8 at its own size, 0 to 255; number and stem, unique and fit for a file name.
    A pair that cannot be read is passed over (``check.check_pairs`` names such pairs beforehand);
    its number is not given to another.

    Attributes:
        pairs: What to check on.
        size: Side of the square network input, in pixels.
        mean: Per channel RGB, of values in [0, 1].
        std: Per channel RGB.
    """

    pairs: Sequence[Pair]
    size: int
    mean: Sequence[float]
    std: Sequence[float]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[tuple[Tensor, NDArray[np.uint8], str]]:
        for number, pair in enumerate(self.pairs):
            try:
                image, mask = read_pair(pair)
            except SourceError:
                continue
            resized = resize_image(image, (self.size, self.size))[None]
            truth = np.rint(mask * 255).astype(np.uint8)
            yield normalised(resized, self.mean, self.std), truth, f"{number}_{pair.image.stem}"


def normalised(images: NDArray[np.float32], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return ``(N, H, W, 3)`` float32 in [0, 1] as a normalised ``(N, 3, H, W)`` tensor.

    It takes over the memory of ``images``, which has to be contiguous, and so is channels last.
    """
    count, high, wide, channels = images.shape
    rows = images.reshape(count, high, wide * channels)  # three at a time would be slow
    rows -= np.tile(np.asarray(mean, np.float32), wide)
    rows /= np.tile(np.asarray(std, np.float32), wide)
    return torch.from_numpy(images).permute(0, 3, 1, 2)
