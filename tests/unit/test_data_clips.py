"""Clips from film folders: every frame is used, films are recognised, sampling is seeded."""

import cv2
import numpy as np
import pytest
import torch

from sodcli.data.augment import Augment
from sodcli.data.clips import Clip, disjoint_clips, extended, read_clip
from sodcli.data.films import Footage, find_footage, hold_out_footage, is_film
from sodcli.data.loader import BatchLoader, ValidationSet
from sodcli.data.pairs import find_pairs
from sodcli.errors import SourceError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAN = Augment(flip_lr=0.5, zoom=(0.6, 1.0), rotate=10, jitter=(0.3, 0.3, 0.3), border_crop=4)


def draw_film(images, masks, count, seed=0, step=1):
    """Write frames of a disc that drifts over a smooth background; every ``step``-th number."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.integers(0, 120, (4, 5, 3), np.uint8), (60, 48))
    for folder in (images, masks):
        folder.mkdir(parents=True)
    for number in range(count):
        middle = (15 + number, 20 + seed)
        mask = cv2.circle(np.zeros((48, 60), np.uint8), middle, 9, 255, -1)
        name = f"{number * step:05d}"
        cv2.imwrite(str(images / f"{name}.png"), np.where(mask[..., None], 220, ground))
        cv2.imwrite(str(masks / f"{name}.png"), mask)


@pytest.fixture
def films(tmp_path):
    """Two sequences in the usual layout of DAVIS for saliency."""
    for seed, (name, count) in enumerate([("bird", 20), ("car", 11)]):
        folder = tmp_path / "films" / name
        draw_film(folder / "images", folder / "GT", count, seed)
    return tmp_path / "films"


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    for number in range(6):
        coarse = rng.integers(0, 255, (5, 6, 3), np.uint8)
        mask = cv2.circle(np.zeros((48, 60), np.uint8), (30, 24), 10 + number, 255, -1)
        photo = cv2.resize(coarse, (60, 48), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(tmp_path / f"photos/images/{number}.png"), photo)
        cv2.imwrite(str(tmp_path / f"photos/masks/{number}.png"), mask)
    return tmp_path / "photos"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 20, 33, 64])
@pytest.mark.parametrize("step", [1, 4])
def test_disjoint_clips_cover_every_frame(count, step):
    clips = disjoint_clips(count, 8, step)
    assert all(len(clip) == 8 for clip in clips)
    assert {place for clip in clips for place in clip} == set(range(count))


def test_disjoint_clips_are_those_of_the_paper():
    assert disjoint_clips(5, 8, 4) == [(0, 1, 2, 3, 4, 3, 2, 1)]
    assert extended(3, 8) == (0, 1, 2, 1, 0, 1, 2, 1)
    # Step 2 is the largest that fits; the last clips end at the last frame.
    assert disjoint_clips(17, 8, 4) == [
        (0, 2, 4, 6, 8, 10, 12, 14),
        (1, 3, 5, 7, 9, 11, 13, 15),
        (1, 3, 5, 7, 9, 11, 13, 15),
        (2, 4, 6, 8, 10, 12, 14, 16),
    ]


def test_films_are_distinguished_from_photos(films, photos):
    found = find_footage(find_pairs([str(photos), str(films)]).pairs)
    assert [len(film) for film in found.films] == [20, 11]
    assert [pair.image.stem for pair in found.films[0]] == [f"{n:05d}" for n in range(20)]
    assert len(found.photos) == 6


def test_the_layout_of_davis_is_found(tmp_path):
    root = tmp_path / "DAVIS"
    for seed, name in enumerate(["bear", "cow"]):
        draw_film(root / "JPEGImages/480p" / name, root / "Annotations/480p" / name, 9 + seed, seed)
    found = find_footage(find_pairs([str(root)]).pairs)
    assert [len(film) for film in found.films] == [9, 10]
    assert found.photos == ()


def test_each_gap_gives_its_own_clips(films):
    found = find_footage(find_pairs([str(films / "bird")]).pairs)
    one, all_gaps = found.clips(4, [1]), found.clips(4, [1, 4, 8])
    assert [int(pair.image.stem) for pair in one[0].pairs] == [0, 1, 2, 3]
    apart = {int(c.pairs[1].image.stem) - int(c.pairs[0].image.stem) for c in all_gaps}
    assert apart == {1, 4, 5}  # 20 frames are too few for a gap of 8
    assert len(set(all_gaps)) == len(all_gaps)


def test_gaps_count_frames_of_the_film_not_annotations(tmp_path):
    draw_film(tmp_path / "sparse/images", tmp_path / "sparse/GT", 20, step=4)
    (first, *_) = find_footage(find_pairs([str(tmp_path / "sparse")]).pairs).clips(4, [8])
    assert [int(pair.image.stem) for pair in first.pairs] == [0, 8, 16, 24]


def test_a_clip_with_a_frame_of_another_size_is_refused(films):
    found = find_footage(find_pairs([str(films)]).pairs).films[0]
    path = found[2].image
    cv2.imwrite(str(path), np.zeros((20, 20, 3), np.uint8))
    cv2.imwrite(str(found[2].mask), np.zeros((20, 20), np.uint8))
    with pytest.raises(SourceError, match="another size"):
        read_clip(Clip(found[:4]))


def test_films_are_held_out_as_a_whole(films, photos):
    pairs = find_pairs([str(photos), str(films)]).pairs
    train, held = (part.pairs for part in hold_out_footage(find_footage(pairs), 0.2, seed=0))
    assert sorted(train + held, key=str) == sorted(pairs, key=str)
    sequences = {pair.image.parent for pair in held} & {pair.image.parent for pair in train}
    assert [folder.parent.name for folder in sequences] == ["photos"]
    assert hold_out_footage(find_footage(pairs), 0.0, seed=0)[1].pairs == ()


def batches(pairs, **changes):
    clips = find_footage(pairs).clips(4, [1, 4])
    settings = {"sizes": (32,), "batch": 3, "seed": 5, "clip_len": 4, "motion": 0.5, **changes}
    return list(BatchLoader(clips, augment=PLAN, mean=MEAN, std=STD, **settings).epoch(0))


def test_batches_of_clips(films, photos):
    loaded = batches(find_pairs([str(films), str(photos)]).pairs)
    for batch in loaded:
        assert batch.images.shape[1:] == (4, 3, 32, 32)
        assert batch.masks.shape == (len(batch.names), 4, 1, 32, 32)
        assert batch.images[0].is_contiguous(memory_format=torch.channels_last)
        assert 0 <= batch.masks.min() <= batch.masks.max() <= 1
    held = torch.cat([batch.images for batch in loaded])
    moves = (held[:, 0] != held[:, -1]).flatten(1).any(1)
    assert 0 < moves.sum() < len(held)  # some photos stand still


@pytest.mark.slow
def test_batches_do_not_depend_on_the_workers(films, photos):
    pairs = find_pairs([str(films), str(photos)]).pairs
    for left, right in zip(batches(pairs), batches(pairs, workers=1), strict=True):
        assert left.names == right.names
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.masks, right.masks)


def test_all_frames_of_a_clip_get_the_same_augmentation(films):
    """A still film stays still with any random numbers."""
    film = find_footage(find_pairs([str(films)]).pairs).films[0]
    for pair in film[1:]:
        pair.image.write_bytes(film[0].image.read_bytes())
        pair.mask.write_bytes(film[0].mask.read_bytes())
    looks = []
    for batch in batches(film):
        assert torch.equal(batch.images, batch.images[:, :1].expand_as(batch.images))
        assert torch.equal(batch.masks, batch.masks[:, :1].expand_as(batch.masks))
        looks += list(batch.images[:, 0])
    assert any(not torch.equal(looks[0], look) for look in looks[1:])


def test_a_damaged_frame_leaves_its_clip_out(films):
    pairs = find_pairs([str(films / "bird")]).pairs
    pairs[3].image.write_bytes(b"broken")
    loader = BatchLoader(
        Footage((pairs,), ()).clips(4, [1]),
        augment=PLAN, mean=MEAN, std=STD, sizes=(32,), batch=3, seed=5, clip_len=4,
    )  # fmt: skip
    loaded = list(loader.epoch(0))
    assert sum(len(batch.names) for batch in loaded) == 4
    assert [reason for batch in loaded for reason in batch.skipped] == [
        f"{pairs[3].image}: is damaged or no picture"
    ]


def test_validation_sees_every_frame_once(films, photos):
    clips = find_footage(find_pairs([str(films), str(photos)]).pairs).clips(8, [4])
    held = ValidationSet(clips, 32, MEAN, STD)
    looks = list(held)
    assert len(held) == len(looks)
    assert sum(truth is not None for _, truths in looks for truth in truths) == 20 + 11 + 6
    for images, truths in looks:
        assert images.shape == (1, len(truths), 3, 32, 32)
    assert {len(truths) for _, truths in looks} == {1, 8}


def test_validation_passes_over_damaged_clips(films):
    clips = find_footage(find_pairs([str(films / "car")]).pairs).clips(8, [4])
    clips[0].pairs[0].image.write_bytes(b"broken")
    assert len(list(ValidationSet(clips, 32, MEAN, STD))) < len(clips)


def test_unreadable_frames_are_removed_from_the_footage(films, photos):
    found = find_footage(find_pairs([str(films), str(photos)]).pairs)
    kept = found.only([pair for pair in found.pairs if pair.image.stem != "00003"])
    assert [len(film) for film in kept.films] == [19, 10]
    assert found.only(found.photos).films == ()


def test_photos_with_the_same_background_are_not_a_film(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        mask = np.zeros((48, 60), np.uint8)
        cv2.circle(mask, tuple(int(x) for x in rng.integers((15, 15), (45, 33))), 14, 255, -1)
        photo = np.where(mask[..., None], rng.integers(0, 150, 3), 240).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), photo)
        cv2.imwrite(str(tmp_path / f"masks/{number}.png"), mask)
    assert find_footage(find_pairs([str(tmp_path)]).pairs).films == ()


def test_a_folder_with_too_few_or_unreadable_frames_is_not_a_film(films):
    first, second = find_footage(find_pairs([str(films)]).pairs).films
    assert not is_film([pair.image for pair in first[:1]])
    cv2.imwrite(str(first[0].image), np.zeros((20, 20, 3), np.uint8))
    assert not is_film([pair.image for pair in first])
    second[0].image.write_bytes(b"broken")
    assert not is_film([pair.image for pair in second])


def test_frames_without_numbers_are_taken_in_the_order_of_their_names(films):
    folder = films / "bird"
    for kind in ("images", "GT"):
        for place, path in enumerate(sorted((folder / kind).iterdir())):
            path.rename(path.with_name(f"{chr(97 + place)}.png"))
    (first, *_) = find_footage(find_pairs([str(folder)]).pairs).clips(4, [4])
    assert [pair.image.stem for pair in first.pairs] == ["a", "e", "i", "m"]
