"""Films with all their frames are found in the layouts of their data sets."""

import pytest

from sodcli.data.films import find_films
from sodcli.errors import MissingError
from tests.sparse_film import draw_film
from tests.training_kit import draw_pairs


def draw_set(folder, *films, **options):
    for film in films:
        draw_film(folder / "JPEGImages" / film, folder / "Annotations" / film, **options)


def test_frames_without_annotation_belong_to_the_film(tmp_path, registry):
    draw_set(tmp_path / "VOS", "1", "2", frames=8, every=3)
    found = find_films(tmp_path, ["VOS"], registry.datasets)
    assert [(film.set, film.name) for film in found.films] == [("VOS", "1"), ("VOS", "2")]
    for film in found.films:
        assert len(film.frames) == 8
        assert sorted(film.masks) == [0, 3, 6]
        assert all(film.masks[at].stem == film.frames[at].stem for at in film.masks)


def test_a_folder_per_sequence_is_a_film_set_too(tmp_path, registry):
    draw_film(tmp_path / "mine" / "dog" / "images", tmp_path / "mine" / "dog" / "GT", frames=4)
    (film,) = find_films(tmp_path, [], registry.datasets).films
    assert (film.set, film.name, len(film.frames)) == ("mine", "dog", 4)


def test_one_sequence_is_the_film_that_it_is_in_its_set(tmp_path, registry):
    draw_film(tmp_path / "dog" / "images", tmp_path / "dog" / "GT", frames=9, every=4)
    (film,) = find_films(tmp_path / "dog", [], registry.datasets).films
    assert (film.set, film.name, len(film.frames)) == (tmp_path.name, "dog", 9)
    assert sorted(film.masks) == [0, 4, 8]
    draw_pairs(tmp_path / "photos")
    with pytest.raises(MissingError, match="no films under"):
        find_films(tmp_path / "photos", [], registry.datasets)
    with pytest.raises(MissingError, match="no data set under"):
        find_films(tmp_path / "photos" / "images", [], registry.datasets)


def test_test_sequences_are_left_out(tmp_path, registry):
    at_480p = {"images": tmp_path / "DAVIS" / "JPEGImages" / "480p"}
    for film in ("bear", "camel", "cows"):
        masks = tmp_path / "DAVIS" / "Annotations" / "480p" / film
        draw_film(at_480p["images"] / film, masks, frames=3)
    found = find_films(tmp_path, ["DAVIS"], registry.datasets)
    assert [film.name for film in found.films] == ["bear"]
    assert found.remarks == ("DAVIS: sequences that it is tested on are left out: 2",)
    for place, names in (("", ["bear"]), ("bear", ["bear"]), ("cows", ["cows"])):  # frames alone
        alone = find_films(at_480p["images"] / place, [], registry.datasets).films
        assert [(film.set, film.name) for film in alone] == [("DAVIS", name) for name in names]


def test_test_sequences_are_used_if_there_are_no_others(tmp_path, registry):
    masks = tmp_path / "DAVIS" / "Annotations" / "480p" / "camel"
    draw_film(tmp_path / "DAVIS" / "JPEGImages" / "480p" / "camel", masks, frames=3)
    found = find_films(tmp_path, ["DAVIS"], registry.datasets)
    assert [film.name for film in found.films] == ["camel"]
    assert not found.remarks


def test_a_set_of_pictures_is_refused(tmp_path, registry):
    still = tmp_path / "still"
    draw_film(still / "images", still / "GT", frames=3)
    for place, path in enumerate(sorted(still.glob("*/*"))):
        path.rename(path.with_stem("abc"[place % 3]))
    with pytest.raises(MissingError, match=r"still: no films"):
        find_films(tmp_path, ["still"], registry.datasets)
    with pytest.raises(MissingError, match=r"no films under"):
        find_films(tmp_path, [], registry.datasets)
