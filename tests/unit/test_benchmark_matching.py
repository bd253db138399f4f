"""Ground truth in every layout, and the maps that match it."""

import numpy as np
import pytest

from sodcli.benchmark.matching import find_maps, find_truths, place_of, plain_stem
from sodcli.errors import MissingError
from tests.scoring_kit import draw_films, draw_set, save

GREY = np.zeros((8, 8), np.uint8)


def touch(root, *names):
    for name in names:
        save(root / name, GREY)
    return root


def found(root, *, clips=False):
    """Return set -> clip -> names of the masks."""
    return {
        one.name: {clip.name: [pair.mask.name for pair in clip.pairs] for clip in one.groups}
        for one in find_truths(root, clips=clips)
    }


def matched(root, truth, *, clips=False):
    """Return for each set the maps, as mask path -> map path, and what is unused."""
    sets = find_truths(truth, clips=clips)
    return {
        one.name: (
            {
                mask.relative_to(truth).as_posix(): path.relative_to(root).as_posix()
                for mask, path in maps.of.items()
            },
            [path.name for path in maps.unused],
        )
        for one, maps in zip(sets, find_maps(root, sets), strict=True)
    }


def test_a_plain_folder_of_masks_is_a_set_with_its_name(tmp_path):
    touch(tmp_path / "ECSSD", "GT/2.png", "GT/10.png")
    expected = {"ECSSD": {"": ["2.png", "10.png"]}}
    assert found(tmp_path / "ECSSD") == expected
    assert found(tmp_path / "ECSSD" / "GT") == expected


def test_a_root_gives_sets_with_photos_and_without(tmp_path):
    draw_set(tmp_path / "A", count=2)
    touch(tmp_path, "B/0.png", "C/GT/0.png")
    assert found(tmp_path) == {
        "A": {"": ["0000.png", "0001.png"]},
        "B": {"": ["0.png"]},
        "C": {"": ["0.png"]},
    }


def test_photos_are_not_taken_for_ground_truth(tmp_path):
    touch(tmp_path / "S", "images/photo.jpg", "GT/other.png")
    assert found(tmp_path / "S") == {"S": {"": ["other.png"]}}
    touch(tmp_path / "T", "a.jpg", "a.png", "b.jpg", "b.png", "c.jpg")
    assert found(tmp_path / "T") == {"T": {"": ["a.png", "b.png"]}}


def test_clip_folders_are_one_set_of_films_or_several_sets_of_pictures(tmp_path):
    root = touch(tmp_path / "DAVIS", "Annotations/480p/bear/0.png", "Annotations/480p/cat/0.png")
    assert found(root, clips=True) == {"DAVIS": {"bear": ["0.png"], "cat": ["0.png"]}}
    assert found(root) == {"bear": {"": ["0.png"]}, "cat": {"": ["0.png"]}}
    assert found(tmp_path, clips=True) == found(root, clips=True)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_ground_truth_is_missing_data(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match=name):
        find_truths(tmp_path / name, clips=False)


@pytest.mark.parametrize(
    "name",
    ["a.png", "a.jpg", "a_map.png", "a_mask.png", "a.jpg_map.png", "maps/a.png", "a_pred.bmp"],
)
def test_a_map_is_found_whatever_its_suffix_ending_and_folder(tmp_path, name):
    truth = touch(tmp_path / "S" / "GT", "a.png")
    maps = touch(tmp_path / "maps", name)
    assert matched(maps, truth) == {"S": ({"a.png": name}, [])}


def test_the_best_match_of_several_maps_is_used_and_the_others_reported(tmp_path):
    truth = touch(tmp_path / "S" / "GT", "a.png", "b.png")
    maps = touch(tmp_path / "maps", "a.png", "a_map.png", "a.jpg", "b.jpg", "b_map.png", "z.png")
    wanted = {"a.png": "a.png", "b.png": "b_map.png"}
    assert matched(maps, truth) == {"S": (wanted, ["a.jpg", "a_map.png", "b.jpg", "z.png"])}


def test_maps_beside_the_photos_are_distinguished_from_them(tmp_path):
    root = draw_set(tmp_path / "S", count=2)
    touch(root / "images", "0000_map.png", "0001_map.png")
    sets = find_truths(root, clips=False)
    (maps,) = find_maps(root / "images", sets)
    assert [path.name for path in maps.of.values()] == ["0000_map.png", "0001_map.png"]
    assert maps.unused == ()


def test_a_map_may_be_named_as_the_photo_or_as_the_mask(tmp_path):
    root = touch(tmp_path / "S", "images/a.jpg", "GT/a_gt.png", "images/b.jpg", "GT/b_gt.png")
    maps = touch(tmp_path / "maps", "a.png", "b_gt.png")
    assert matched(maps, root)["S"][0] == {"GT/a_gt.png": "a.png", "GT/b_gt.png": "b_gt.png"}


def test_ground_truth_scored_against_itself_is_found(tmp_path):
    truth = touch(tmp_path / "S" / "GT", "a.png")
    assert matched(truth, truth)["S"][0] == {"a.png": "a.png"}


def test_each_set_has_its_own_folder_of_maps(tmp_path):
    data, maps = tmp_path / "data", tmp_path / "maps"
    touch(data, "DUT-OMRON/GT/a.png", "SOD/GT/a.png")
    touch(maps, "dut_omron/a.png", "SOD/a.png", "stray.png")
    found = matched(maps, data)
    assert found["DUT-OMRON"] == ({"DUT-OMRON/GT/a.png": "dut_omron/a.png"}, [])
    assert found["SOD"] == ({"SOD/GT/a.png": "SOD/a.png"}, [])
    alone = matched(maps, data / "SOD")
    assert alone["SOD"] == ({"GT/a.png": "SOD/a.png"}, [])


def test_sets_with_the_same_name_and_their_maps_are_identified_by_path(tmp_path):
    data, maps = tmp_path / "data", tmp_path / "maps"
    for name in ("a", "b"):
        draw_set(data / name / "TE", [maps / name / "te"], count=2)
    touch(data, "c/TE/GT/0.png", "c/GT/TF/0.png", "d/TE/GT/0.png")
    touch(maps, "c/TE/0.png", "TF/0.png", "d/TE/0.png")
    found = matched(maps, data)
    assert list(found) == ["a/TE", "b/TE", "TF", "c/TE", "d/TE"]
    for name, (of, unused) in found.items():
        assert unused == []
        assert {path.rpartition("/")[0].casefold() for path in of.values()} == {name.casefold()}


def test_similar_names_do_not_match_maps_of_another_set(tmp_path):
    data, maps = tmp_path / "data", tmp_path / "maps"
    touch(data, "a-b/GT/0.png", "a_b/GT/0.png", "夜/GT/0.png", "海/GT/0.png")
    touch(maps, "a_b/0.png", "海/0.png")
    found = {name: list(of.values()) for name, (of, _) in matched(maps, data).items()}
    assert found == {"a-b": [], "a_b": ["a_b/0.png"], "夜": [], "海": ["海/0.png"]}


def test_frames_are_found_in_their_clips(tmp_path):
    root = draw_films(tmp_path / "films", tmp_path / "maps", {"bear": 3, "cat": 3})
    touch(tmp_path / "mirrored", "bear/images/0000_map.png", "cat/images/0001_map.png")
    of, unused = matched(tmp_path / "maps", root, clips=True)["films"]
    assert len(of) == 6
    assert of["cat/GT/0002.png"] == "cat/0002.png"
    of, unused = matched(tmp_path / "mirrored", root, clips=True)["films"]
    assert of == {
        "bear/GT/0000.png": "bear/images/0000_map.png",
        "cat/GT/0001.png": "cat/images/0001_map.png",
    }
    assert unused == []


def test_without_any_map_the_error_names_expected_and_found_files(tmp_path):
    truth = touch(tmp_path / "S" / "GT", "a.png", "b.png")
    sets = find_truths(truth, clips=False)
    with pytest.raises(
        MissingError, match=r"any of 2 ground truths.*a\.png of S.*such as .*z\.png"
    ):
        find_maps(touch(tmp_path / "maps", "z.png"), sets)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match="no picture is there"):
        find_maps(tmp_path / "empty", sets)
    with pytest.raises(MissingError, match="no folder"):
        find_maps(tmp_path / "nowhere", sets)


@pytest.mark.parametrize(
    ("stem", "plain"),
    [
        ("a", "a"),
        ("a_map", "a"),
        ("a.jpg_map", "a"),
        ("a_b", "a_b"),
        ("_map", "_map"),
        ("a.b", "a.b"),
        ("a_sal_fuse", "a"),
        ("a-mask", "a"),
        ("a_masks", "a"),
    ],
)
def test_suffixes_of_map_names_are_removed(stem, plain):
    assert plain_stem(stem) == plain


def test_folder_names_for_a_kind_or_resolution_are_ignored(tmp_path):
    path = tmp_path / "DAVIS" / "Annotations" / "Full-Resolution" / "bear" / "GT"
    assert place_of(path, tmp_path) == ("DAVIS", "bear")
