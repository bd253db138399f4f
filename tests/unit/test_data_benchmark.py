"""Benchmark sets are found in their published folder layouts."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sodcli.data.benchmarks import find_sets
from sodcli.data.read import picture_size
from sodcli.errors import MissingError, SourceError, UsageError
from sodcli.registry import DatasetSpec

KNOWN = {
    "TOY": DatasetSpec(
        name="TOY",
        kind="image",
        title="Toy",
        paper="none",
        page="https://example.org/toy",
        pictures=3,
        folders=("Toy_2K",),
        images=("pictures/all",),
        masks=("truth/all",),
    ),
    "MOVIE": DatasetSpec(
        name="MOVIE",
        kind="film",
        title="Movie",
        paper="none",
        sequences=2,
        split=("bear", "goat"),
        images=("JPEGImages/480p", "Imgs"),
        masks=("Annotations/480p", "GT_object_level"),
    ),
}


def draw(path, size_hw=(6, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(size_hw, np.uint8)).save(path)


def flat(folder, names=("1", "2"), images="images", masks="GT", sizes=((6, 8), (7, 8))):
    for name, size in zip(names, sizes * len(names), strict=False):
        draw(folder / images / f"{name}.jpg", size)
        draw(folder / masks / f"{name}.png", size)
    return folder


def found(root, *names):
    return {one.name: one for one in find_sets(root, names, KNOWN)}


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images", "GT"), ("Imgs", "masks"), ("im", "gt"), ("A-Image", "A-Mask"), ("image", "mask")],
)
def test_a_set_is_recognised_by_its_layout(tmp_path, images, masks):
    flat(tmp_path / "Any", images=images, masks=masks)
    (one,) = find_sets(tmp_path, [], KNOWN)
    assert (one.name, one.film, one.pictures, one.remarks) == ("Any", False, 2, ())
    assert [clip.name for clip in one.groups] == [""]
    assert one.groups[0].pairs[0].mask == tmp_path / "Any" / masks / "1.png"
    assert find_sets(tmp_path / "Any", [], KNOWN)[0].groups[0].pairs == one.groups[0].pairs


@pytest.mark.parametrize("name", ["TOY", "toy", "Toy_2K", "toy-2k"])
def test_a_set_is_found_by_name_whatever_its_capitals(tmp_path, name):
    flat(tmp_path / "deep" / "tOY-2k", images="Pictures/ALL", masks="truth/all")
    one = found(tmp_path, name)["tOY-2k"]
    assert one.pictures == 2
    assert one.remarks == ("tOY-2k: 2 annotated pictures, TOY was published with 3",)


def test_names_in_any_script_are_told_apart(tmp_path):
    flat(tmp_path / "图片")
    flat(tmp_path / "Été")
    assert list(found(tmp_path, "图片")) == ["图片"]
    assert list(found(tmp_path, "été")) == ["Été"]
    for name in ("数据", "t"):
        with pytest.raises(MissingError, match=f"no set '{name}'"):
            found(tmp_path, name)


def test_a_root_named_after_the_set_is_the_set(tmp_path):
    flat(tmp_path / "toy")
    assert found(tmp_path / "toy", "TOY")["toy"].folder == tmp_path / "toy"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_linked_set_has_the_name_of_the_link(tmp_path, monkeypatch):
    flat(tmp_path / "elsewhere" / "Toy-dev")
    movie = tmp_path / "elsewhere" / "Movie"
    for name in ("bear", "goat", "training"):
        flat(movie / name, images="Imgs", masks="GT_object_level")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "TOY").symlink_to("../elsewhere/Toy-dev")
    (tmp_path / "sets" / "films").symlink_to("../elsewhere/Movie")
    assert found(tmp_path / "sets", "TOY")["TOY"].folder == tmp_path / "sets" / "TOY"
    assert found(tmp_path / "sets", "toy-dev").keys() == {"TOY"}
    both = found(tmp_path / "sets")
    assert list(both) == ["films", "TOY"]
    assert len(both["films"].groups) == 2  # the split of the set it is a link to
    monkeypatch.chdir(tmp_path / "elsewhere" / "Toy-dev" / "GT")
    assert list(found(Path("..")) | found(Path("../../../sets/TOY/."))) == ["Toy-dev", "TOY"]
    monkeypatch.chdir(tmp_path / "elsewhere" / "Toy-dev")
    assert list(found(Path())) == ["Toy-dev"]


def test_folders_of_frames_are_clips_of_a_film_set(tmp_path):
    for name in ("bear", "goat"):
        flat(tmp_path / "Any" / name, names=("0", "1", "2"), sizes=((6, 8),))
    (one,) = find_sets(tmp_path, [], KNOWN)
    assert one.film
    assert [(clip.name, len(clip.pairs)) for clip in one.groups] == [("bear", 3), ("goat", 3)]


def test_a_folder_of_picture_sets_is_not_a_film_set(tmp_path):
    flat(tmp_path / "sets" / "a")
    flat(tmp_path / "sets" / "b", names=("cat", "dog"))
    assert list(found(tmp_path)) == ["a", "b"]
    one = found(tmp_path, "sets")["sets"]
    assert (one.film, one.pictures) == (False, 4)


@pytest.mark.parametrize(
    ("images", "masks"),
    [("JPEGImages/480p/{}", "Annotations/480p/{}"), ("{}/Imgs", "{}/GT_object_level")],
)
def test_published_film_layouts(tmp_path, images, masks):
    for name in ("bear", "goat", "training"):
        flat(tmp_path / "Movie", ("0", "1"), images.format(name), masks.format(name))
        draw(tmp_path / "Movie" / masks.format(name).replace("object", "instance") / "0.png")
    one = found(tmp_path, "movie")["Movie"]
    assert [clip.name for clip in one.groups] == ["bear", "goat"]  # the split, not the rest
    assert one.film
    assert one.pictures == 4


def test_frames_without_ground_truth_are_left_out_and_reported(tmp_path):
    flat(tmp_path / "Movie" / "bear", images="Imgs", masks="GT_object_level")
    draw(tmp_path / "Movie" / "bear" / "Imgs" / "3.jpg")
    one = found(tmp_path, "MOVIE")["Movie"]
    assert one.pictures == 2
    assert len(one.remarks) == 2
    assert "1 without a mask: 3.jpg" in one.remarks[0]
    assert one.remarks[1] == "Movie: 1 sequence, MOVIE was published with 2"


def test_missing_sets_are_reported_in_one_line(tmp_path):
    flat(tmp_path / "ECSSD-dev")
    with pytest.raises(MissingError) as caught:
        find_sets(tmp_path, ["ECSSD-dew", "TOY"], KNOWN)
    assert str(caught.value) == (
        f"no set 'ECSSD-dew', 'TOY' with pictures and ground truth under {tmp_path}. "
        "Found ECSSD-dev. Did you mean 'ECSSD-dev'?"
    )
    with pytest.raises(MissingError, match=r"TOY is at https://example\.org/toy\.$"):
        find_sets(tmp_path, ["TOY"], KNOWN)


def test_an_empty_and_a_missing_root_are_errors(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(MissingError, match=r"no data set under .*looked for a folder images"):
        find_sets(tmp_path, [], KNOWN)
    with pytest.raises(MissingError, match="Found no set at all"):
        find_sets(tmp_path, ["TOY"], KNOWN)
    with pytest.raises(MissingError, match=r"--data .*nowhere: no such folder"):
        find_sets(tmp_path / "nowhere", [], KNOWN)


def test_a_set_named_twice_is_returned_once(tmp_path):
    flat(tmp_path / "TOY")
    assert len(find_sets(tmp_path, ["TOY", "toy"], KNOWN)) == 1


def test_sets_with_the_same_name_are_identified_by_path(tmp_path):
    for name in ("a/TE", "b/te", "b/own"):
        flat(tmp_path / name)
    sets = find_sets(tmp_path, [], KNOWN)
    assert [one.name for one in sets] == ["a/TE", "own", "b/te"]
    assert [one.folder for one in sets] == [tmp_path / name for name in ("a/TE", "b/own", "b/te")]
    assert found(tmp_path, "own", "b/TE/").keys() == {"own", "b/te"}
    assert found(tmp_path, "b/te", "te").keys() == {"b/te", "TE"}
    with pytest.raises(MissingError, match=r"no set 'TF' .* Found a/TE, own, b/te\."):
        found(tmp_path, "TF")


def test_the_first_of_several_sets_reports_how_to_name_the_others(tmp_path):
    for name in ("a/TE", "b/te", "b/te/TE"):
        flat(tmp_path / name)
    first = found(tmp_path, "TE")["TE"]
    assert first.folder == tmp_path / "a" / "TE"
    assert first.remarks == (f"TE: this is {first.folder}; as other sets name b/te",)
    assert found(tmp_path, "b/te")["b/te"].remarks == ()


def test_remarks_use_the_path_of_a_set_that_is_identified_by_it(tmp_path):
    for name in ("a/TOY", "b/TOY"):
        flat(tmp_path / name)
    assert [one.remarks for one in find_sets(tmp_path, [], KNOWN)] == [
        (f"{name}: 2 annotated pictures, TOY was published with 3",) for name in ("a/TOY", "b/TOY")
    ]
    assert KNOWN["TOY"].is_called("b/toy-2k")  # as training films are named


def test_sets_whose_paths_differ_by_capitals_only_are_refused(tmp_path):
    flat(tmp_path / "Own")
    flat(tmp_path / "own")
    if (tmp_path / "OWN").exists():
        pytest.skip("this disk takes both for one folder")
    with pytest.raises(UsageError, match=r"Own and .*own go by one name; rename one"):
        find_sets(tmp_path, [], KNOWN)


def test_folders_of_damaged_frames_are_not_films(tmp_path):
    flat(tmp_path / "Any" / "bear", sizes=((6, 8),))
    (tmp_path / "Any" / "bear" / "GT" / "1.png").write_bytes(b"broken")
    assert list(found(tmp_path)) == ["bear"]
    with pytest.raises(SourceError, match=r"1\.png: is damaged or no picture"):
        picture_size(tmp_path / "Any" / "bear" / "GT" / "1.png")


def test_a_folder_that_cannot_be_listed_is_one_line(tmp_path, monkeypatch):
    flat(tmp_path / "Any")

    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("sodcli.data.pairs.os.scandir", refuse)
    with pytest.raises(SourceError, match="Permission denied"):
        find_sets(tmp_path, [], KNOWN)


@pytest.mark.slow
def test_the_development_sets_are_found(shared_data, registry):
    sets = find_sets(shared_data, ["ECSSD-dev", "DAVIS-dev"], registry.datasets)
    assert [(one.name, one.film, one.pictures) for one in sets] == [
        ("ECSSD-dev", False, 297),
        ("DAVIS-dev", True, 179),
    ]
    assert [clip.name for clip in sets[1].groups] == [
        "blackswan",
        "car-shadow",
        "libby",
        "motocross-jump",
    ]
