"""Batches for training and samples for validation."""

import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sodcli.data.augment import Augment, augment, augment_clip, resize_image, resize_mask
from sodcli.data.clips import Clip, read_clip
from sodcli.data.masks import read_pair
from sodcli.data.pairs import Pair
from sodcli.data.read import read_image
from sodcli.data.synth import clip_from_photo
from sodcli.data.triples import Triple, pack_triple
from sodcli.errors import SourceError, UsageError
from sodcli.imaging.evidence import PACKED
from sodcli.text import plural


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Held-out samples without augmentation, in their order.

    Iterating yields ``(images, truths)``. The images are float32, normalised: of a pair
    ``(1, 3, size, size)``; of a clip ``(1, T, 3, size, size)``, where T is 1 for a photo; of a
    triple ``(1, 9, size, size)``, with the picture in the first three channels. The truths are one
    ``(H, W)`` uint8 array per frame, 0 to 255, at its own size, or ``None`` for a frame that was
    yielded before. Samples that cannot be read are skipped; ``check_pairs`` reports them
    beforehand.

    Attributes:
        items: Pairs, clips for a clip model, or triples for the pseudo-label generator.
        size: Side of the square network input, in pixels.
        mean: Per channel RGB, of values in [0, 1].
        std: Per channel RGB.
        fit_masks: Resize masks of another size than their picture.
    """

    items: Sequence[Pair] | Sequence[Clip] | Sequence[Triple]
    size: int
    mean: Sequence[float]
    std: Sequence[float]
    fit_masks: bool = False

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[Tensor, list[NDArray[np.uint8] | None]]]:
        known: set[Pair | Triple] = set()
        for item in self.items:
            try:
                images, masks = self._read(item)
            except SourceError:
                continue
            truths: list[NDArray[np.uint8] | None] = []
            frames = item.pairs if isinstance(item, Clip) else (item,)
            for frame, mask in zip(frames, masks, strict=True):
                truths.append(None if frame in known else np.rint(mask * 255).astype(np.uint8))
                known.add(frame)
            yield images, truths

    def _read(self, item: Pair | Clip | Triple) -> tuple[Tensor, list[NDArray[np.float32]]]:
        """Return the network's input, and the mask of each frame."""
        size_hw = (self.size, self.size)
        if isinstance(item, Triple):
            packed, mask = pack_triple(item, size_hw, self.mean, self.std, fit=self.fit_masks)
            return torch.from_numpy(packed[None]), [mask]
        if isinstance(item, Clip):
            images, masks = read_clip(item, fit=self.fit_masks)
            resized = np.stack([resize_image(image, size_hw) for image in images])
        else:
            image, mask = read_pair(item, fit=self.fit_masks)
            resized, masks = resize_image(image, size_hw), [mask]
        return normalised(resized[None], self.mean, self.std), masks


def normalised(images: NDArray[np.float32], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return ``(..., H, W, 3)`` float32 in [0, 1] as a normalised ``(..., 3, H, W)`` tensor.

    The tensor shares the memory of ``images``, which must be contiguous and is overwritten; its
    channels are last in memory.
    """
    *outer, wide, channels = images.shape
    rows = images.reshape(*outer, wide * channels)  # broadcasting over 3 channels is slow
    rows -= np.tile(np.asarray(mean, np.float32), wide)
    rows /= np.tile(np.asarray(std, np.float32), wide)
    return torch.from_numpy(images).movedim(-1, -3)


@dataclass(frozen=True, slots=True)
class Batch:
    """Input of one training step.

    Attributes:
        images: ``(N, 3, H, W)`` float32, normalised, N >= 1, channels last in memory; of clips
            ``(N, T, 3, H, W)``, of triples ``(N, 9, H, W)``.
        masks: ``(N, 1, H, W)`` or ``(N, T, 1, H, W)`` float32 in [0, 1].
        names: Files of the N pictures; for a clip the first frame, for a triple the middle one.
        skipped: ``file: reason`` for each pair of this batch that could not be read.
    """

    images: Tensor
    masks: Tensor
    names: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchLoader:
    """Batches of augmented pairs for one process of a run.

    The batches are the same for any number of workers, and after a resume. An epoch is one pass
    over the pairs per entry of ``sizes``, in that order. All random numbers of a sample come from
    a generator seeded by (seed, epoch, pass, index of the pair); torch's global generator is not
    used.

    Each global batch is cut into ``world`` contiguous shares. The last batch of a pass may be
    smaller; its shares then differ by one sample. It is dropped if it has fewer samples than there
    are processes, so that every process gets the same number of batches, none of them empty.

    Pairs that cannot be read, or whose background cannot, are left out of their batch and listed
    in ``Batch.skipped``. If no pair of a share can be read, the next readable pair of the pass
    replaces it, so that the processes stay in step.

    Attributes:
        pairs: Pairs, clips for a clip model, or triples for the pseudo-label generator.
        augment: Augmentation; triples can only be reversed in time.
        sizes: Side of the square network input in pixels, per pass.
        batch: Global batch size over all processes; a multiple of ``world``.
        seed: At least 0.
        mean: Per channel RGB, of values in [0, 1].
        std: Per channel RGB.
        rank: This process.
        world: Number of processes.
        workers: Processes that read pictures; 0 reads in this process.
        drop_last: Drop the last batch of a pass if it is not full.
        backgrounds: Pictures to paste subjects on; empty for none.
        clip_len: Frames of a clip; a photo becomes a clip of this many frames.
        motion: Probability that a photo is animated: see :func:`sodcli.data.synth.move_still`.
        shuffle: Draw a new random order for every pass.
        fit_masks: Resize masks of another size than their picture; otherwise skip the pair.

    Raises:
        UsageError: If these settings give no batch, or ``batch`` is not a multiple of ``world``.
    """

    pairs: Sequence[Pair] | Sequence[Clip] | Sequence[Triple]
    _: KW_ONLY
    augment: Augment
    sizes: Sequence[int]
    batch: int
    seed: int
    mean: Sequence[float]
    std: Sequence[float]
    rank: int = 0
    world: int = 1
    workers: int = 0
    drop_last: bool = False
    backgrounds: Sequence[Path] = ()
    clip_len: int = 1
    motion: float = 0.0
    shuffle: bool = True
    fit_masks: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or self.batch % self.world:
            raise UsageError(
                f"a batch of {self.batch} cannot be shared by {self.world} process(es) equally"
            )
        if not self.batches_per_epoch():
            raise UsageError(
                f"no batch of {self.batch}: {plural(len(self.pairs), 'training sample')} at "
                f"{plural(len(self.sizes), 'size')}"
            )

    def batches_per_epoch(self) -> int:
        """Return the number of batches of an epoch, over all sizes."""
        return len(self.sizes) * self.batches_per_pass()

    def batches_per_pass(self) -> int:
        """Return the number of batches at one size."""
        whole, rest = divmod(len(self.pairs), self.batch)
        return whole + (rest >= self.world and not self.drop_last)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, beginning with number ``start``.

        Raises:
            SourceError: If no pair at all can be read.
        """
        batches = DataLoader(
            _Epoch(self, epoch),
            batch_size=None,
            sampler=range(start, self.batches_per_epoch()),
            num_workers=self.workers,
            worker_init_fn=_start_worker,
            multiprocessing_context="spawn" if self.workers else None,  # the same on every system
            generator=torch.Generator(),  # otherwise DataLoader draws from torch's global generator
        )
        for batch in batches:
            if not batch.names:
                raise SourceError(f"no training picture can be read; {batch.skipped[0]}")
            yield batch


@dataclass(frozen=True, slots=True)
class _Epoch(Dataset[Batch]):
    """One epoch of a loader: item ``k`` is this process's share of global batch ``k``."""

    loader: BatchLoader
    epoch: int

    def __getitem__(self, number: int) -> Batch:
        loader = self.loader
        nth, batch = divmod(number, loader.batches_per_pass())
        order = self._order(nth)
        start = batch * loader.batch
        count = min(loader.batch, len(order) - start)
        first, last = (
            start + count * rank // loader.world for rank in (loader.rank, loader.rank + 1)
        )
        skipped: list[str] = []
        samples = list(self._samples(order[first:last], nth, skipped))
        if not samples:
            samples = list(islice(self._samples(np.roll(order, -last), nth, []), 1))
        return _collate(samples, loader, loader.sizes[nth], tuple(skipped))

    def _rng(self, *key: int) -> np.random.Generator:
        sequence = np.random.SeedSequence(self.loader.seed, spawn_key=(self.epoch, *key))
        return np.random.default_rng(sequence)

    def _order(self, nth: int) -> NDArray[np.int64]:
        count = len(self.loader.pairs)
        return self._rng(nth).permutation(count) if self.loader.shuffle else np.arange(count)

    def _samples(
        self, indices: Iterable[int], nth: int, skipped: list[str]
    ) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
        """Yield name, picture and mask of each readable pair; append the others to ``skipped``."""
        loader = self.loader
        size_hw = (loader.sizes[nth], loader.sizes[nth])
        for index in indices:
            item, rng = loader.pairs[index], self._rng(nth, int(index))
            try:
                changed = self._sample(item, size_hw, rng)
            except SourceError as error:
                skipped.append(str(error))
            else:
                yield str(item.image), *changed

    def _sample(
        self, item: Pair | Clip | Triple, size_hw: tuple[int, int], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read and augment ``item``: one picture and mask, or those of a clip, frames first."""
        loader = self.loader
        if isinstance(item, Triple):
            triple = item.backwards() if rng.random() < loader.augment.reverse else item
            packed, truth = pack_triple(
                triple, size_hw, loader.mean, loader.std, fit=loader.fit_masks
            )
            return packed, resize_mask(truth, size_hw)
        how = (loader.augment, size_hw, rng)
        background = self._background if loader.backgrounds else None
        if isinstance(item, Pair):
            image, mask = read_pair(item, fit=loader.fit_masks)
            return augment(image, mask, *how, background)
        images, masks = read_clip(item, fit=loader.fit_masks)
        if not item.is_still:
            return augment_clip(images, masks, *how)
        length, motion = loader.clip_len, loader.motion
        return clip_from_photo(images[0], masks[0], *how, background, length=length, motion=motion)

    def _background(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        backgrounds = self.loader.backgrounds
        return read_image(backgrounds[int(rng.integers(len(backgrounds)))])


def _collate(
    samples: Sequence[tuple[str, NDArray[np.float32], NDArray[np.float32]]],
    loader: BatchLoader,
    size: int,
    skipped: tuple[str, ...],
) -> Batch:
    shape = (len(samples),) if loader.clip_len == 1 else (len(samples), loader.clip_len)
    packed = isinstance(loader.pairs[0], Triple)  # these are normalised already, channels first
    one = (sum(PACKED), size, size) if packed else (size, size, 3)
    images = np.empty((*shape, *one), np.float32)
    masks = np.empty((*shape, 1, size, size), np.float32)
    for row, (_, image, mask) in enumerate(samples):
        images[row], masks[row, ..., 0, :, :] = image, mask
    return Batch(
        torch.from_numpy(images) if packed else normalised(images, loader.mean, loader.std),
        torch.from_numpy(masks),
        tuple(name for name, _, _ in samples),
        skipped,
    )


def _start_worker(_: int) -> None:
    """Limit OpenCV to one thread, and ignore Ctrl-C, which the training process handles."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
