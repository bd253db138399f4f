"""Batches for training: the same ones whatever the number of workers, and after a resume."""

import math
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

from sodcli.data.augment import Augment, augment, augment_clip, resize_mask
from sodcli.data.clips import Clip, read_clip
from sodcli.data.pairs import Pair
from sodcli.data.read import read_image, read_pair
from sodcli.data.synth import Stills
from sodcli.data.triples import Triple, pack_triple
from sodcli.data.validation import normalised
from sodcli.errors import SourceError, UsageError
from sodcli.imaging.evidence import PACKED


@dataclass(frozen=True, slots=True)
class Batch:
    """What one training step sees.

    Attributes:
        images: ``(N, 3, H, W)`` float32, normalised, N >= 1, channels last in memory; of clips
            ``(N, T, 3, H, W)``, of triples ``(N, 9, H, W)``.
        masks: ``(N, 1, H, W)`` or ``(N, T, 1, H, W)`` float32 in [0, 1].
        names: The N pictures' files, the first ones of N clips, or the middle ones of N triples.
        skipped: ``file: reason`` of each pair of this batch that could not be read.
    """

    images: Tensor
    masks: Tensor
    names: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Loader:
    """Batches of augmented pairs for every epoch, and for one of several processes.

    An epoch is one full pass over the pairs per entry of ``sizes``, in that order. A sample's
    randomness comes from a generator seeded by (seed, epoch, pass, index of the pair) alone, and
    torch's own generator is never touched.

    Each global batch is cut into ``world`` neighbouring shares. The last one of a pass may be
    smaller and its shares then differ by one sample; it is left out where it has fewer samples than
    there are processes, so that every process sees the same number of batches, none of them empty.

    A pair that cannot be read, itself or its background, is left out of its batch and listed there.
    If a whole share cannot be read, the next pair of the pass that can takes its place: processes
    stay in step, and batch ``k`` is the same one after a resume.

    Attributes:
        pairs: What to train on: pairs, clips for a clip model, or triples for the pseudo-label
            generator.
        augment: What may happen to a sample; a triple may only run backwards.
        sizes: Side of the square network input in pixels, per pass.
        batch: Global batch size, all processes together; a multiple of ``world``.
        seed: Not negative.
        mean: Per channel RGB, of values in [0, 1].
        std: Per channel RGB.
        rank: This process.
        world: Number of processes.
        workers: Reading processes beside this one; 0 reads in this one.
        drop_last: Leave out a smaller last batch.
        backgrounds: Pictures to paste on; without any, nothing is pasted.
        clip_len: Frames of a clip; a photo among the clips stands still for so many, or moves.
        motion: Probability that it moves: see :func:`sodcli.data.synth.move_still`.
        shuffle: New order in every pass.

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

    def __post_init__(self) -> None:
        if self.batch < 1 or self.batch % self.world:
            raise UsageError(
                f"a batch of {self.batch} cannot be shared by {self.world} process(es) equally"
            )
        if not self.batches_per_epoch():
            raise UsageError(
                f"{len(self.pairs)} pairs at {len(self.sizes)} sizes give no batch of {self.batch}"
            )

    def batches_per_epoch(self) -> int:
        """Return the number of batches of an epoch, over all sizes."""
        return len(self.sizes) * self.batches_per_pass()

    def batches_per_pass(self) -> int:
        """Return the number of batches at one size."""
        whole, rest = divmod(len(self.pairs), self.batch)
        return whole + (rest >= self.world and not self.drop_last)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the epoch's batches from number ``start`` on.

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
            generator=torch.Generator(),  # else it would draw from torch's own
        )
        for batch in batches:
            if not batch.names:
                raise SourceError(f"no training picture can be read; {batch.skipped[0]}")
            yield batch


@dataclass(frozen=True, slots=True)
class _Epoch(Dataset[Batch]):
    """One epoch of a loader: its item ``k`` is this process's share of global batch ``k``."""

    loader: Loader
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
        """Yield name, picture and mask of each pair that can be read; note the others."""
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
        """Read ``item`` and change it: one picture and mask, or a clip's, first axis the frames."""
        loader = self.loader
        if isinstance(item, Triple):
            triple = item.backwards() if rng.random() < loader.augment.reverse else item
            packed, truth = pack_triple(triple, size_hw, loader.mean, loader.std)
            return packed, resize_mask(truth, size_hw)
        background = self._background if loader.backgrounds else None
        if isinstance(item, Pair):
            return augment(*read_pair(item), loader.augment, size_hw, rng, background)
        images, masks = read_clip(item)
        if item.is_still:
            stills = Stills(loader.clip_len, loader.motion, loader.augment)
            return stills.clip(images[0], masks[0], size_hw, rng, background)
        return augment_clip(images, masks, loader.augment, size_hw, rng)

    def _background(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        backgrounds = self.loader.backgrounds
        return read_image(backgrounds[int(rng.integers(len(backgrounds)))])


def _collate(
    samples: Sequence[tuple[str, NDArray[np.float32], NDArray[np.float32]]],
    loader: Loader,
    size: int,
    skipped: tuple[str, ...],
) -> Batch:
    shape = (len(samples),) if loader.clip_len == 1 else (len(samples), loader.clip_len)
    packed = isinstance(loader.pairs[0], Triple)  # and so normalised, with channels first
    one = (sum(PACKED), size, size) if packed else (size, size, 3)
    images = np.empty((*shape, *one), np.float32)
    masks = np.empty((*shape, 1, size, size), np.float32)
    for row, (_, image, mask) in enumerate(samples):
        images[row], masks[row, ..., 0, :, :] = image, mask
    return Batch(
        torch.from_numpy(images) if packed else _normalised(images, loader),
        torch.from_numpy(masks),
        tuple(name for name, _, _ in samples),
        skipped,
    )


def _normalised(images: NDArray[np.float32], loader: Loader) -> Tensor:
    """Return ``(..., H, W, 3)`` as ``(..., 3, H, W)``, normalised."""
    *shape, high, wide, channels = images.shape
    flat = images.reshape(math.prod(shape), high, wide, channels)
    return normalised(flat, loader.mean, loader.std).view(*shape, channels, high, wide)


def _start_worker(_: int) -> None:
    """Keep a worker to one thread, and leave Ctrl-C to the process that trains."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
