"""Batches do not depend on workers, processes or interruptions; bad photos are skipped."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sodcli.data.augment import Augment, augment
from sodcli.data.loader import Batch, BatchLoader, ValidationSet
from sodcli.data.masks import read_pair
from sodcli.data.pairs import Pair, find_pairs
from sodcli.errors import SourceError, UsageError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAN = Augment(
    border_crop=3, flip_lr=0.5, zoom=(0.5, 1.0), rotate=10, jitter=(0.2, 0.2, 0.2), paste=0.5
)


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Ten pairs of noise with a disc, each of another size."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks", "backgrounds"):
        (tmp_path / folder).mkdir()
    for index in range(10):
        high, wide = 30 + index, 45 - index
        image = rng.integers(0, 255, (high, wide, 3), np.uint8)
        mask = cv2.circle(np.zeros((high, wide), np.uint8), (wide // 2, high // 2), 9, 255, -1)
        cv2.imwrite(str(tmp_path / f"images/{index}.png"), image)
        cv2.imwrite(str(tmp_path / f"backgrounds/{index}.png"), image[::-1])
        cv2.imwrite(str(tmp_path / f"masks/{index}.png"), mask)
    return list(find_pairs([str(tmp_path)]).pairs)


def loader(pairs: list[Pair], **changes: object) -> BatchLoader:
    backgrounds = sorted((pairs[0].image.parents[1] / "backgrounds").iterdir())
    settings = {"sizes": (32, 24), "batch": 4, "seed": 7, "backgrounds": backgrounds}
    return BatchLoader(pairs, augment=PLAN, mean=MEAN, std=STD, **(settings | changes))


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        torch.equal(a.images, b.images)
        and torch.equal(a.masks, b.masks)
        and (a.names, a.skipped) == (b.names, b.skipped)
        for a, b in zip(left, right, strict=True)
    )


def test_shapes_types_and_sizes_in_order(pairs: list[Pair]) -> None:
    batches = list(loader(pairs).epoch(0))
    shapes = [tuple(batch.images.shape) for batch in batches]
    assert shapes == [(n, 3, s, s) for s in (32, 24) for n in (4, 4, 2)]
    for batch in batches:
        count, _, high, wide = batch.images.shape
        assert batch.masks.shape == (count, 1, high, wide)
        assert batch.images.dtype == batch.masks.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert 0 <= batch.masks.min() <= batch.masks.max() <= 1
        assert len(batch.names) == count


def test_a_pass_sees_every_pair_once_in_a_new_order(pairs: list[Pair]) -> None:
    batches = list(loader(pairs).epoch(0)) + list(loader(pairs).epoch(1))
    names = [name for batch in batches for name in batch.names]
    passes = [names[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(names) == sorted(str(pair.image) for pair in pairs) for names in passes)
    assert len({tuple(names) for names in passes}) == 4


def test_without_shuffling_the_order_is_the_given_one(pairs: list[Pair]) -> None:
    batches = loader(pairs, shuffle=False, sizes=[32]).epoch(3)
    assert [n for batch in batches for n in batch.names] == [str(pair.image) for pair in pairs]


def test_a_sample_is_the_augmented_pair_normalised(pairs: list[Pair]) -> None:
    batch = next(loader(pairs, shuffle=False, backgrounds=()).epoch(2))
    rng = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(2, 0, 1)))
    image, mask = augment(*read_pair(pairs[1]), PLAN, (32, 32), rng)
    expected = ((image - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)
    np.testing.assert_allclose(batch.images[1], expected, atol=1e-5)
    assert np.array_equal(batch.masks[1, 0], mask)


def test_a_sample_depends_only_on_seed_epoch_pass_and_pair(pairs: list[Pair]) -> None:
    def samples(batch: int, epoch: int = 0, seed: int = 7) -> dict[str, torch.Tensor]:
        batches = loader(pairs, sizes=[32], batch=batch, seed=seed).epoch(epoch)
        return {name: row for b in batches for name, row in zip(b.names, b.images, strict=True)}

    whole, small = samples(10), samples(3)
    assert all(torch.equal(whole[name], small[name]) for name in whole)
    for other in (samples(10, epoch=1), samples(10, seed=8)):
        assert not any(torch.equal(whole[name], other[name]) for name in whole)
    twice = list(loader(pairs, sizes=[32, 32], batch=10, shuffle=False).epoch(0))
    assert not torch.equal(twice[0].images, twice[1].images)


@pytest.mark.parametrize("start", [1, 2, 3, 5, 6])
def test_a_resumed_epoch_continues_exactly(pairs: list[Pair], start: int) -> None:
    whole = list(loader(pairs).epoch(1))
    assert same(list(loader(pairs).epoch(1, start=start)), whole[start:])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # one core suffices
def test_batches_do_not_depend_on_the_number_of_workers(pairs: list[Pair]) -> None:
    pairs[3].image.write_bytes(b"")
    assert same(list(loader(pairs, workers=2).epoch(1, 2)), list(loader(pairs).epoch(1, 2)))


@pytest.mark.parametrize(
    ("count", "batch", "world"), [(10, 4, 2), (10, 6, 3), (7, 4, 2), (8, 4, 4)]
)
def test_shares_of_all_processes_make_the_global_batch(pairs, count, batch, world) -> None:
    pairs = pairs[:count]
    whole = list(loader(pairs, batch=batch).epoch(0))
    shares = [
        list(loader(pairs, batch=batch, rank=rank, world=world).epoch(0)) for rank in range(world)
    ]
    assert all(len(share) == len(whole) for share in shares)
    for one, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(one.images, torch.cat([part.images for part in parts]))
        assert one.names == tuple(name for part in parts for name in part.names)
        sizes = [len(part.names) for part in parts]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1


def test_a_last_batch_smaller_than_the_processes_is_dropped(pairs: list[Pair]) -> None:
    for rank in range(4):
        part = loader(pairs, rank=rank, world=4)
        assert part.batches_per_epoch() == 4 == len(list(part.epoch(0)))


def test_drop_last(pairs: list[Pair]) -> None:
    part = loader(pairs, drop_last=True)
    assert [len(batch.names) for batch in part.epoch(0)] == [4, 4, 4, 4]
    assert part.batches_per_epoch() == 4


def test_bad_photos_are_skipped_and_named(pairs: list[Pair]) -> None:
    whole = list(loader(pairs, sizes=[32]).epoch(0))
    pairs[2].image.write_bytes(b"not a picture")
    pairs[5].mask.unlink()
    cv2.imwrite(str(pairs[8].mask), np.zeros((5, 5), np.uint8))
    cut = list(loader(pairs, sizes=[32]).epoch(0))
    assert sorted(reason for batch in cut for reason in batch.skipped) == [
        f"{pairs[2].image}: is damaged or no picture",
        f"{pairs[5].mask}: No such file or directory",
        f"{pairs[8].mask}: is 5x5 px, its picture 37x38 px",
    ]
    bad = {str(pairs[index].image) for index in (2, 5, 8)}
    for before, after in zip(whole, cut, strict=True):
        kept = [row for row, name in enumerate(before.names) if name not in bad]
        assert after.names == tuple(before.names[row] for row in kept)
        assert torch.equal(after.images, before.images[kept])
        assert len(after.skipped) == len(before.names) - len(kept)


@pytest.mark.parametrize("world", [1, 2])
def test_a_share_without_a_readable_photo_uses_the_next_one(pairs: list[Pair], world: int) -> None:
    for pair in pairs[:5]:
        pair.image.write_bytes(b"")
    settings = {"shuffle": False, "sizes": [32], "batch": 2 * world, "world": world}
    batches = list(loader(pairs, **settings).epoch(0))
    assert len(batches) == loader(pairs, **settings).batches_per_epoch()
    assert len(batches[0].skipped) == 2
    assert batches[0].names == (str(pairs[5].image),)
    assert same(list(loader(pairs, **settings).epoch(0, 1)), batches[1:])


def test_no_readable_photo_in_an_epoch_is_an_error(pairs: list[Pair]) -> None:
    for pair in pairs:
        pair.image.write_bytes(b"")
    with pytest.raises(SourceError, match=r"no training picture can be read; .*\.png: is damaged"):
        next(loader(pairs).epoch(0))


def test_an_all_black_mask_is_a_valid_sample(pairs: list[Pair]) -> None:
    for pair in pairs:
        cv2.imwrite(str(pair.mask), np.zeros(read_pair(pair)[1].shape, np.uint8))
    for batch in loader(pairs).epoch(0):
        assert batch.masks.max() == 0
        assert torch.isfinite(batch.images).all()
        assert batch.skipped == ()


def test_global_random_generators_are_neither_used_nor_changed(pairs: list[Pair]) -> None:
    torch.manual_seed(1)
    first = list(loader(pairs).epoch(0))
    torch.manual_seed(2)
    np.random.seed(2)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert same(list(loader(pairs).epoch(0)), first)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 3, "world": 2}, "cannot be shared by 2"),
        ({"batch": 0}, "a batch of 0"),
        ({"batch": 11, "drop_last": True}, "no batch of 11: 10 training samples"),
        ({"batch": 12, "world": 12}, "no batch of 12"),
        ({"sizes": ()}, "at 0 sizes"),
    ],
)
def test_settings_without_a_batch(pairs, changes, message) -> None:
    with pytest.raises(UsageError, match=message):
        loader(pairs, **changes)


def test_settings_are_frozen(pairs: list[Pair]) -> None:
    settings = loader(pairs)
    with pytest.raises(AttributeError):
        settings.batch = 2
    assert replace(settings, batch=2).batches_per_epoch() == 10


def test_validation_is_the_published_preprocessing(pairs: list[Pair]) -> None:
    pairs[1].mask.unlink()
    seen = list(ValidationSet(pairs, 32, MEAN, STD))
    assert len(ValidationSet(pairs, 32, MEAN, STD)) == 10
    for (image, (truth,)), pair in zip(seen, [pairs[0], *pairs[2:]], strict=True):
        pixels, mask = read_pair(pair)
        assert image.shape == (1, 3, 32, 32)
        assert truth.dtype == np.uint8
        assert np.array_equal(truth, mask * 255)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255
        resized = torch.nn.functional.interpolate(tensor, (32, 32), mode="bilinear")
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        torch.testing.assert_close(image.double(), (resized - mean) / std, atol=2e-5, rtol=0)
