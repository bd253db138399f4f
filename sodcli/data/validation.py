"""Pictures as they are, prepared as published: what a model is checked on while it trains."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sodcli.data.augment import resize_image
from sodcli.data.clips import Clip, read_clip
from sodcli.data.pairs import Pair
from sodcli.data.read import read_pair
from sodcli.data.triples import Triple, pack_triple
from sodcli.errors import SourceError

Truth = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Held-out pairs without augmentation, in their order.

    Iterating yields ``(image, ground truth, name)``: ``(1, 3, size, size)`` float32 normalised, of
    a triple ``(1, 9, size, size)``, the picture first; ``(H, W)`` uint8 at its own size, 0 to 255;
    number and stem, unique and fit for a file name.
    A pair that cannot be read is passed over (``check.check_pairs`` names such pairs beforehand);
    its number is not given to another.

    Attributes:
        pairs: What to check on: pairs, or triples for the pseudo-label generator.
        size: Side of the square network input, in pixels.
        mean: Per channel RGB, of values in [0, 1].
        std: Per channel RGB.
    """

    pairs: Sequence[Pair | Triple]
    size: int
    mean: Sequence[float]
    std: Sequence[float]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[tuple[Tensor, NDArray[np.uint8], str]]:
        for number, pair in enumerate(self.pairs):
            try:
                image, mask = self._read(pair)
            except SourceError:
                continue
            yield image, _truth(mask), f"{number}_{pair.image.stem}"

    def _read(self, item: Pair | Triple) -> tuple[Tensor, NDArray[np.float32]]:
        size_hw = (self.size, self.size)
        if isinstance(item, Triple):
            packed, mask = pack_triple(item, size_hw, self.mean, self.std)
            return torch.from_numpy(packed[None]), mask
        image, mask = read_pair(item)
        return normalised(resize_image(image, size_hw)[None], self.mean, self.std), mask


@dataclass(frozen=True, slots=True)
class ClipValidationSet:
    """Held-out clips without augmentation, in their order.

    Iterating yields ``(images, ground truths)``: ``(1, T, 3, size, size)`` float32 normalised, T
    being 1 for a photo; T times ``(H, W)`` uint8, 0 to 255, or ``None`` where an earlier clip held
    that frame. A clip that cannot be read is passed over.

    Attributes:
        clips: What to check on.
        size: Side of the square network input, in pixels.
        mean: Per channel RGB, of values in [0, 1].
        std: Per channel RGB.
    """

    clips: Sequence[Clip]
    size: int
    mean: Sequence[float]
    std: Sequence[float]

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[tuple[Tensor, list[Truth | None]]]:
        known: set[Pair] = set()
        for clip in self.clips:
            try:
                images, masks = read_clip(clip)
            except SourceError:
                continue
            resized = np.stack([resize_image(image, (self.size, self.size)) for image in images])
            truths: list[Truth | None] = []
            for pair, mask in zip(clip.pairs, masks, strict=True):
                truths.append(None if pair in known else _truth(mask))
                known.add(pair)
            yield normalised(resized, self.mean, self.std)[None], truths


def _truth(mask: NDArray[np.float32]) -> Truth:
    return np.rint(mask * 255).astype(np.uint8)


def normalised(images: NDArray[np.float32], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return ``(N, H, W, 3)`` float32 in [0, 1] as a normalised ``(N, 3, H, W)`` tensor.

    It takes over the memory of ``images``, which has to be contiguous, and so is channels last.
    """
    count, high, wide, channels = images.shape
    rows = images.reshape(count, high, wide * channels)  # three at a time would be slow
    rows -= np.tile(np.asarray(mean, np.float32), wide)
    rows /= np.tile(np.asarray(std, np.float32), wide)
    return torch.from_numpy(images).permute(0, 3, 1, 2)
