"""Triples of labelled frames, the training data of the pseudo-label generator."""

import json

import cv2
import numpy as np
import pytest
import torch

from sodcli.data.augment import Augment, resize_mask
from sodcli.data.films import find_films
from sodcli.data.loader import BatchLoader, ValidationSet
from sodcli.data.triples import read_triple, triples_of
from sodcli.errors import SourceError
from sodcli.imaging.evidence import mean_of_warped, pack
from sodcli.imaging.tensors import IMAGENET_MEAN, IMAGENET_STD
from tests.conftest import DATA
from tests.sparse_film import draw_film

NORMAL = (IMAGENET_MEAN, IMAGENET_STD)


@pytest.fixture
def films(tmp_path, registry):
    for name, frames in (("a", 31), ("b", 6)):
        folder = tmp_path / "toys" / name
        draw_film(folder / "images", folder / "GT", frames=frames, step=1)
    return find_films(tmp_path, ["toys"], registry.datasets).films


def test_triples_are_the_published_ones_without_repeats(films):
    tables = json.loads((DATA / "rcrnet" / "clip_tables.json").read_text())
    clips = tables["fgplg_train_l5_T3_default1"]["clips"]
    found = [
        [int(pair.image.stem) for pair in (triple.left, triple.target, triple.right)]
        for triple in triples_of(films, 5)
    ]
    assert found == [clip["idx"] for clip in clips[:-1]]
    assert clips[-1]["idx"] == found[-1]


def test_warped_neighbour_labels_agree_with_the_middle_label(films):
    triple = triples_of(films, 5)[0]
    evidence, truth = read_triple(triple)
    told = mean_of_warped(evidence) > 0.5
    assert np.array_equal(truth, cv2.imread(str(triple.target.mask), 0) / np.float32(255))
    assert (told & (truth > 0.5)).sum() / (told | (truth > 0.5)).sum() > 0.9


def test_the_network_sees_frame_labels_and_flows_at_its_own_size(films):
    evidence, _ = read_triple(triples_of(films, 5)[0])
    packed = pack(evidence, (32, 192))
    assert packed.shape == (9, 32, 192)
    assert packed.dtype == np.float32
    assert packed[3:5].min() >= 0
    assert packed[3:5].max() == 1
    before, after = evidence.flow_left.mean((0, 1)), packed[5:7].mean((1, 2))
    assert after == pytest.approx(before * (192 / 96, 32 / 64), rel=0.02)


def test_frames_of_two_sizes_are_reported(films):
    triple = triples_of(films, 5)[0]
    cv2.imwrite(str(triple.right.image), np.zeros((20, 20, 3), np.uint8))
    cv2.imwrite(str(triple.right.mask), np.zeros((20, 20), np.uint8))
    with pytest.raises(SourceError, match=r"00010\.jpg: is of another size than .*00005\.jpg"):
        read_triple(triple)


def loader_of(triples, **changes):
    plan = Augment(reverse=changes.pop("reverse", 0.0))
    fixed = {"sizes": [32], "batch": 2, "seed": 0, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    return BatchLoader(triples, augment=plan, shuffle=False, **fixed, **changes)


def test_batches_hold_what_the_network_takes(films):
    (batch, *_) = loader_of(triples_of(films, 5)).epoch(0)
    assert batch.images.shape == (2, 9, 32, 32)
    assert batch.masks.shape == (2, 1, 32, 32)
    evidence, truth = read_triple(triples_of(films, 5)[0])
    assert np.array_equal(batch.images[0].numpy(), pack(evidence, (32, 32)))
    assert np.array_equal(batch.masks[0, 0].numpy(), resize_mask(truth, (32, 32)))
    assert batch.names[0] == str(films[0].frames[5])


def test_triples_may_be_reversed(films):
    triples = triples_of(films, 5)
    forth, back = (next(loader_of(triples, reverse=share).epoch(0)).images for share in (0, 1))
    left, right = (0, 1, 2, 3, 5, 6), (0, 1, 2, 4, 7, 8)
    assert torch.equal(forth[:, left], back[:, right])
    assert torch.equal(forth[:, right], back[:, left])
    drawn = [next(loader_of(triples, reverse=0.5).epoch(0)).images for _ in range(2)]
    assert torch.equal(*drawn)


def test_a_triple_with_a_damaged_neighbour_is_left_out(films):
    triples = triples_of(films, 5)
    triples[0].left.mask.write_bytes(b"no mask")
    (batch, *_) = loader_of(triples).epoch(0)
    assert batch.names == (str(triples[1].image),)
    assert "00000.png" in batch.skipped[0]
    seen = [truth for _, (truth,) in ValidationSet(triples, 32, *NORMAL)]
    kept = [cv2.imread(str(triple.target.mask), 0) for triple in triples[1:]]
    assert all(np.array_equal(*both) for both in zip(seen, kept, strict=True))


def test_masks_of_another_size_are_resized_on_request(films):
    triples = triples_of(films, 5)
    for pair in (triples[0].left, triples[0].target):
        cv2.imwrite(str(pair.mask), cv2.imread(str(pair.mask), 0)[::2, ::2])
    (batch, *_) = loader_of(triples).epoch(0)
    assert "00005.png: is 48x32 px, its picture 96x64 px" in batch.skipped[0]
    (batch, *_) = loader_of(triples, fit_masks=True).epoch(0)
    assert (len(batch.names), batch.skipped) == (2, ())
    (_, (truth,)), *_ = ValidationSet(triples, 32, *NORMAL, fit_masks=True)
    assert truth.shape == (64, 96)


def test_validation_sees_the_same_as_training(films):
    triples = triples_of(films, 5)
    (batch, *_) = loader_of(triples).epoch(0)
    (image, (truth,)), *_ = ValidationSet(triples, 32, *NORMAL)
    assert torch.equal(image[0], batch.images[0])
    assert np.array_equal(truth, cv2.imread(str(triples[0].target.mask), 0))
