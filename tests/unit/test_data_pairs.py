"""Pairs by file stem in the folder layouts of data sets."""

from pathlib import Path

import pytest

from sodcli.data.pairs import find_pairs
from sodcli.errors import MissingError
from sodcli.files import natural_key


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def stems(root: Path, found) -> list[tuple[str, str]]:
    return [
        (pair.image.relative_to(root).as_posix(), pair.mask.relative_to(root).as_posix())
        for pair in found.pairs
    ]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"),
        ("image", "gt"),
        ("Image", "Mask"),
        ("Imgs", "GT"),
        ("imgs", "gts"),
        ("im", "gt"),
        ("images", "ground_truth_mask"),
        ("JPEGImages", "Annotations"),
        ("DUTS-TR-Image", "DUTS-TR-Mask"),
        ("DUTS-TE-Image", "mask"),
        ("img", "label"),  # ORSSD
        ("JPEGImages", "SegmentationClass"),  # VOC
        ("original", "mask"),  # AIM-500
        ("blurred_image", "mask"),  # P3M-10k
        ("DUT-OMRON-image", "pixelwiseGT-new-PNG"),  # DUT-OMRON
    ],
)
def test_known_layouts(tmp_path: Path, images: str, masks: str) -> None:
    touch(tmp_path, f"{images}/10.jpg", f"{images}/2.JPG", f"{masks}/2.png", f"{masks}/10.PNG")
    found = find_pairs([str(tmp_path)])
    assert stems(tmp_path, found) == [
        (f"{images}/2.JPG", f"{masks}/2.png"),
        (f"{images}/10.jpg", f"{masks}/10.PNG"),
    ]
    assert found.problems == ()
    assert {pair.source for pair in found.pairs} == {str(tmp_path)}


@pytest.mark.parametrize(
    "name", ["a_mask", "a_masks", "a-mask", "a_sal_fuse", "a.jpg", "a_map", "a.jpg_map", "a_matte"]
)
def test_suffixes_of_mask_names_are_removed(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "im/a.jpg", "im/b.jpg", f"gt/{name}.png", f"gt/{name.replace('a', 'b', 1)}.png")
    found = find_pairs([str(tmp_path)])
    assert [pair.image.stem for pair in found.pairs] == ["a", "b"]
    assert found.problems == ()


def test_photos_and_masks_of_one_format_side_by_side(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a_mask.png", "b.jpg", "b-mask.jpg", "c.jpg", "c.png")
    assert stems(tmp_path, find_pairs([str(tmp_path)])) == [
        ("a.png", "a_mask.png"),
        ("b.jpg", "b-mask.jpg"),
        ("c.jpg", "c.png"),
    ]


def test_of_several_photo_folders_the_plainest_name_is_used(tmp_path: Path) -> None:
    """As in P3M-500-NP: photos, and the same photos with blurred faces."""
    touch(tmp_path, "original_image/a.jpg", "blurred_image/a.jpg", "mask/a.png", "trimap/a.png")
    assert stems(tmp_path, find_pairs([str(tmp_path)])) == [("original_image/a.jpg", "mask/a.png")]


@pytest.mark.parametrize("suffix", ["avif", "webp", "gif", "jpe", "jfif"])
def test_photos_of_every_format_that_infer_reads(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"images/a.{suffix}", "masks/a.png")
    assert len(find_pairs([str(tmp_path)]).pairs) == 1


def test_two_sets_side_by_side_are_distinguished_by_name(tmp_path: Path) -> None:
    for part in ("TR", "TE"):
        touch(tmp_path, f"DUTS-{part}-Image/a.jpg", f"DUTS-{part}-Mask/a.png")
    assert stems(tmp_path, find_pairs([str(tmp_path)])) == [
        ("DUTS-TE-Image/a.jpg", "DUTS-TE-Mask/a.png"),
        ("DUTS-TR-Image/a.jpg", "DUTS-TR-Mask/a.png"),
    ]


def test_nested_folders_pair_by_their_whole_path(tmp_path: Path) -> None:
    for clip in ("bear", "camel"):
        touch(tmp_path, f"JPEGImages/480p/{clip}/0.jpg", f"Annotations/480p/{clip}/0.png")
    assert stems(tmp_path, find_pairs([str(tmp_path)])) == [
        ("JPEGImages/480p/bear/0.jpg", "Annotations/480p/bear/0.png"),
        ("JPEGImages/480p/camel/0.jpg", "Annotations/480p/camel/0.png"),
    ]


def test_sets_of_a_root_that_have_no_pairs_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "DUTS-TR/images/a.jpg", "DUTS-TR/masks/a.png", "OTHER/in/a.jpg", "notes/a.txt")
    found = find_pairs([str(tmp_path)])
    assert stems(tmp_path, found) == [("DUTS-TR/images/a.jpg", "DUTS-TR/masks/a.png")]
    assert found.problems == (f"{tmp_path}: no pairs of picture and mask found in OTHER",)


@pytest.mark.parametrize("folder", ["", "Imgs/", "MSRA-B/"])
def test_photo_and_mask_side_by_side(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, f"{folder}a.jpg", f"{folder}a.png", f"{folder}b.jpeg", f"{folder}b.png")
    assert stems(tmp_path, find_pairs([str(tmp_path)])) == [
        (f"{folder}a.jpg", f"{folder}a.png"),
        (f"{folder}b.jpeg", f"{folder}b.png"),
    ]


def test_several_sets_in_one_root_and_several_roots(tmp_path: Path) -> None:
    touch(tmp_path, "one/set2/images/a.jpg", "one/set2/masks/a.png")
    touch(tmp_path, "one/set10/Imgs/a.jpg", "one/set10/GT/a.png", "two/a.jpg", "two/a.png")
    found = find_pairs([str(tmp_path / "two"), str(tmp_path / "one")])
    assert [pair.image.relative_to(tmp_path).as_posix() for pair in found.pairs] == [
        "two/a.jpg",
        "one/set2/images/a.jpg",
        "one/set10/Imgs/a.jpg",
    ]
    assert [Path(pair.source).name for pair in found.pairs] == ["two", "one", "one"]


def test_two_named_folders(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.png", "alpha=1/a.png")
    found = find_pairs([f"{tmp_path / 'photos'}={tmp_path / 'alpha=1'}"])
    assert stems(tmp_path, found) == [("photos/a.png", "alpha=1/a.png")]


def test_an_equals_sign_in_a_folder_name_is_allowed(tmp_path: Path) -> None:
    touch(tmp_path, "size=96/images/a.jpg", "size=96/masks/a.png")
    assert len(find_pairs([str(tmp_path / "size=96")]).pairs) == 1


def test_a_folder_of_xml_is_not_a_mask_folder(tmp_path: Path) -> None:
    touch(tmp_path, "JPEGImages/a.jpg", "Annotations/a.xml", "masks/a.png")
    assert stems(tmp_path, find_pairs([str(tmp_path)])) == [("JPEGImages/a.jpg", "masks/a.png")]


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "masks/a.png")
    touch(
        tmp_path, "images/._a.jpg", "images/Thumbs.db", "masks/.DS_Store", "__MACOSX/images/b.jpg"
    )
    assert find_pairs([str(tmp_path)]).problems == ()


def test_unpaired_files_are_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/a.png", "masks/a.png", "masks/z.png")
    touch(tmp_path, *(f"images/lone{number}.jpg" for number in range(7)))
    found = find_pairs([str(tmp_path)])
    assert stems(tmp_path, found) == [("images/a.jpg", "masks/a.png")]
    assert found.problems == (
        f"{tmp_path}: 7 without a mask: "
        "lone0.jpg, lone1.jpg, lone2.jpg, lone3.jpg, lone4.jpg and 2 more",
        f"{tmp_path}: 1 without a picture: z.png",
        f"{tmp_path}: 1 left out, as another file has the same stem: a.png",
    )


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no folder '.*nowhere'") as error:
        find_pairs([str(tmp_path / "nowhere")])
    assert error.value.exit_code == 4


def test_a_folder_without_pairs_reports_expected_and_found_names(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg", "stray.jpg")
    with pytest.raises(MissingError, match=r"looked for .*images.*GT.*found 1 picture .*photos"):
        find_pairs([str(tmp_path)])


def test_masks_of_other_names_are_named_in_the_error(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "masks/a_seg.png")
    with pytest.raises(MissingError, match=r"1 without a mask: a.jpg; .*a_seg.png"):
        find_pairs([str(tmp_path)])


def test_natural_order() -> None:
    names = ["b1", "a10", "a2", "A1", "2", "10", "a", "a02"]
    assert sorted(names, key=natural_key) == ["2", "10", "a", "A1", "a02", "a2", "a10", "b1"]


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "count"), [("train", 4912), ("ECSSD-dev", 297)])
def test_the_development_sets_are_found_whole(shared_data: Path, folder: str, count: int) -> None:
    found = find_pairs([str(shared_data / folder)])
    assert len(found.pairs) == count
    assert found.problems == ()
    assert all(pair.image.stem == pair.mask.stem for pair in found.pairs)


def test_maps_as_sod_infer_names_them_are_masks(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg", "photos/b_map.jpg", "photos/b.jpg", "photos/sub/c.jpg")
    touch(tmp_path, "maps/a_map.png", "maps/b_map.png", "maps/sub/c_MASK.png")
    found = find_pairs([f"{tmp_path / 'photos'}={tmp_path / 'maps'}"])
    assert stems(tmp_path, found) == [
        ("photos/a.jpg", "maps/a_map.png"),
        ("photos/b_map.jpg", "maps/b_map.png"),
        ("photos/sub/c.jpg", "maps/sub/c_MASK.png"),
    ]
    assert found.problems == (f"{tmp_path}: 1 without a mask: b.jpg",)
