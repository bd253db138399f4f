"""Training and validation data: films, sparsely annotated films and pseudo labels."""

import re

import cv2
import numpy as np
import pytest

from sodcli.data.clips import Clip
from sodcli.data.triples import Triple
from sodcli.errors import MissingError, UsageError
from sodcli.training.config import resume
from sodcli.training.setup import find_training_data
from tests.sparse_film import draw_film
from tests.training_kit import settings


def draw_set(root, **films):
    for name, frames in films.items():
        draw_film(root / name / "images", root / name / "GT", frames=frames, step=1)
    return root


@pytest.fixture
def films(tmp_path):
    return draw_set(tmp_path / "data" / "toys", a=31, b=21, c=6)


@pytest.fixture
def others(tmp_path):
    return draw_set(tmp_path / "data" / "others", d=21)


@pytest.fixture
def labels(films, tmp_path):
    """Labels for every third frame of two films, each with its own grey level."""
    folder = tmp_path / "labels" / "1_5"
    for film in ("a", "b"):
        (folder / "toys" / film).mkdir(parents=True)
        for place in range(0, 21, 3):
            grey = np.full((64, 96), 10 * place, np.uint8)
            assert cv2.imwrite(str(folder / "toys" / film / f"{place:05d}.png"), grey)
    return folder


def places(item):
    return [int(pair.image.stem) for pair in item.pairs]


def test_the_generator_learns_from_every_fifth_annotation_of_films(films, registry):
    data = find_training_data(settings(films, model="fgplg"), registry)
    assert all(isinstance(item, Triple) for item in (*data.train, *data.held))
    by_film = {item.image.parents[1].name: [] for item in (*data.train, *data.held)}
    for item in (*data.train, *data.held):
        by_film[item.image.parents[1].name].append(places(item))
    assert by_film["a"] == [[0, 5, 10], [10, 15, 20], [20, 25, 30]]
    assert by_film["b"] == [[0, 5, 10], [10, 15, 20]]
    assert not {i.image.parent for i in data.train} & {i.image.parent for i in data.held}
    names = list(data.names())
    assert len(names) == 3 * len(data.train)


def test_validation_films_can_be_named(films, others, registry):
    data = find_training_data(settings(films, model="fgplg", val=[str(others)]), registry)
    assert {item.image.parents[1].name for item in data.train} == {"a", "b"}
    assert [places(item) for item in data.held] == [[0, 5, 10], [10, 15, 20]]


def test_validation_triples_are_read_before_training(films, others, registry):
    (others / "d" / "GT" / "00015.png").write_bytes(b"no mask")
    data = find_training_data(settings(films, model="fgplg", val=[str(others)]), registry)
    assert [places(item) for item in data.held] == [[0, 5, 10]]
    assert any("00015.png" in problem for problem in data.problems)


def test_validation_triples_with_masks_of_another_size_can_be_fitted(films, others, registry):
    mask = others / "d" / "GT" / "00015.png"
    cv2.imwrite(str(mask), cv2.imread(str(mask))[::2, ::2])
    for fit, held in ((False, [[0, 5, 10]]), (True, [[0, 5, 10], [10, 15, 20]])):
        config = settings(films, model="fgplg", val=[str(others)], fit_masks=fit)
        assert [places(item) for item in find_training_data(config, registry).held] == held


def test_films_with_too_few_annotations_are_reported(films, tmp_path, registry):
    few = draw_set(tmp_path / "few", e=6)
    with pytest.raises(MissingError, match=f"no film of {re.escape(str(few))} has three"):
        find_training_data(settings(films, model="fgplg", val=[str(few)]), registry)
    with pytest.raises(MissingError, match="three annotations left when one of 5 is kept"):
        find_training_data(settings(few, model="fgplg"), registry)
    found = find_training_data(settings(few, model="fgplg", label_interval=2), registry)
    assert [places(item) for item in found.train] == [[0, 2, 4]]


def clip_settings(folder, **changes):
    table = {"model": "rcrnet", "size": 32, "holdout": 0.0, **changes}
    return settings(folder, **table)


def test_film_models_train_on_pseudo_labels_alone(films, labels, registry):
    config = clip_settings(films, pseudo_labels=str(labels))
    data = find_training_data(config, registry)
    assert {pair.mask.parents[2] for item in data.train for pair in item.pairs} == {labels}
    overlapping = [[0, 3, 6, 9], [9, 12, 15, 18]]
    assert [places(item) for item in data.train] == overlapping * 2
    assert f"{labels}: no labels of toys/c" in data.problems
    assert any("--val DIR would name ground truth" in problem for problem in data.problems)


def test_named_validation_ground_truth_is_cut_into_the_clips_of_the_paper(films, labels, registry):
    config = clip_settings(films, pseudo_labels=str(labels), val=[str(films / "c")])
    data = find_training_data(config, registry)
    assert [places(item) for item in data.held] == [[0, 1, 2, 3], [2, 3, 4, 5]]
    assert not any("--val DIR" in problem for problem in data.problems)


def test_pictures_can_have_pseudo_labels_too(films, labels, registry):
    config = settings(films, pseudo_labels=str(labels), holdout=0.0)
    assert len(find_training_data(config, registry).train) == 14


def test_training_on_sparse_ground_truth_alone_is_possible(films, registry):
    config = clip_settings(films / "a", label_interval=5, val=[str(films / "c")])
    data = find_training_data(config, registry)
    assert all(isinstance(item, Clip) for item in data.train)
    assert [places(item) for item in data.train] == [[0, 5, 10, 15], [15, 20, 25, 30]]


def test_missing_labels_are_reported(films, tmp_path, registry):
    with pytest.raises(MissingError, match="sod pseudo-label makes it"):
        find_training_data(clip_settings(films, pseudo_labels=str(tmp_path / "none")), registry)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "sdnet", "label_interval": 5}, "thins the ground truth of films"),
        ({"model": "rcrnet", "label_interval": 5, "pseudo_labels": "x"}, "are not thinned"),
        ({"model": "fgplg", "label_interval": 1, "pseudo_labels": "x"}, "ground truth as it is"),
        ({"model": "fgplg", "augment": {"flip_lr": 0.5}}, "all of augment but reverse"),
        ({"model": "fgplg", "backgrounds": ["x"]}, "leave out pseudo_labels, backgrounds"),
        ({"model": "fgplg", "label_interval": 0}, "label_interval must be at least 1"),
        ({"model": "raft-small"}, "'raft-small' finds optical flow"),
    ],
)
def test_settings_without_effect_are_refused(tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        settings(tmp_path, **changes)


def test_the_recipes_of_the_paper(tmp_path):
    film, generator = (settings(tmp_path, model=name) for name in ("rcrnet", "fgplg"))
    assert (film.clip_len, film.gaps, film.overlap, film.label_interval) == (4, (1,), True, 1)
    assert (generator.clip_len, generator.label_interval) == (1, 5)
    assert film.lr == generator.lr == 1e-5
    assert film.augmentation().reverse == generator.augmentation().reverse == 0.5
    assert settings(tmp_path, model="rcrnet-image").augmentation().reverse == 0


def test_validation_pictures_and_backgrounds_can_be_named(films, others, tmp_path, registry):
    backgrounds = str(films / "a" / "images")
    config = settings(films, val=[str(others)], backgrounds=[backgrounds])
    data = find_training_data(config, registry)
    assert (len(data.train), len(data.held), len(data.backgrounds)) == (58, 21, 31)
    with pytest.raises(MissingError, match=r"no folder .* with backgrounds"):
        find_training_data(settings(films, backgrounds=[str(tmp_path / "none")]), registry)


def test_the_folder_of_labels_stays_the_same_wherever_a_run_is_resumed(films, labels, monkeypatch):
    monkeypatch.chdir(labels.parent)
    config = clip_settings(films, pseudo_labels="1_5")
    assert config.pseudo_labels == str(labels)
    assert resume(config, {"pseudo_labels": "1_5"})[0] == config
    with pytest.raises(UsageError, match="pseudo_labels was"):
        resume(config, {"pseudo_labels": "4_5"})
