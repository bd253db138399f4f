"""Photo options of ``sod infer``: crops, canvases, own masks, several types, changed settings."""

import errno
import json
import os
import re
import shutil
from base64 import b64decode
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.draw_kit import draw_photo


@pytest.fixture
def photos(tmp_path):
    """A folder of two photos with dpi metadata."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(["a.jpg", "b.png"]):
        Image.fromarray(draw_photo(seed)[0]).save(folder / name, dpi=(300, 300))
    return folder


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_several_types_are_made_from_one_map(sod, photos, small_weights):
    words = ["infer", photos / "a.jpg", photos / "b.png", "-t", "transparent", "-t", "dodgerblue"]
    words += ["-t", "mask", "-t", "rgba", "-w", small_weights, "--json"]
    rows = json.loads(sod(*words).stdout)["results"]
    names = [Path(row["output"]).name for row in rows]
    assert names == [f"{stem}_{tag}.png" for stem in "ab" for tag in ("rgba", "dodgerblue", "map")]
    assert all(row["status"] == "done" and 0 <= row["certainty"] <= 1 for row in rows)
    assert rows[0]["certainty"] == rows[1]["certainty"]
    (photos / "b_map.png").unlink()
    again = json.loads(sod(*words).stdout)
    assert (again["done"], again["skipped"]) == (1, 5)


def test_photos_with_own_masks_need_no_network(sod, photos, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("a", "b"):
        mask = np.zeros((90, 120), np.uint8)
        mask[20:50, 30:90] = 255
        Image.fromarray(mask).save(masks / f"{name}.png")
    result = sod("infer", photos / "a.jpg", photos / "b.png", "-t", "white", "--mask", masks,
                 "--canvas", "200x100", "--margin", "10px", "--format", "jpg", "--quality", "90",
                 "-o", tmp_path / "out", "--report", tmp_path / "sheet.html")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "device" not in result.stderr
    for name in ("a", "b"):
        picture = read(tmp_path / "out" / f"{name}_white.jpg")
        assert picture.shape == (100, 200, 3)
        columns = np.flatnonzero((picture < 200).any((0, 2)))
        assert abs(columns.min() - 20) <= 2
        assert abs(columns.max() - 179) <= 2
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("data:image/") == 6
    assert page.count("own mask") == 2
    assert not re.search(r"(?:src|href)=.?https?:", page)


def shown(page):
    """Return the names of the photos on a page of ``--report``, and of their results."""
    text = page.read_text()
    found = re.findall(r'class="name">([^<]*)<', text), re.findall(r"<small>([^<]*)<", text)
    return [{Path(name).name for one in names for name in one.split(", ")} for names in found]


def test_a_second_run_writes_the_page_again_with_all_photos(sod, photos, tmp_path):
    page = tmp_path / "sheet.html"
    words = ["-t", "white", "-t", "rgba", "--report", page]
    masked(sod, photos, "-t", "white")
    written = Path(f"{photos}_white", "a_white.png").stat().st_mtime_ns
    first = masked(sod, photos, *words)
    assert "2 pictures, 4 results: 2 done, 2 skipped" in first.stderr
    assert Path(f"{photos}_white", "a_white.png").stat().st_mtime_ns == written
    everything = [{"a.jpg", "b.png"}, {f"{n}_{tag}.png" for n in "ab" for tag in ("white", "rgba")}]
    assert shown(page) == everything
    page.write_text(page.read_text().split("<ol>")[0])
    second = masked(sod, photos, *words)
    assert (second.exit_code, "4 skipped" in second.stderr) == (0, True)
    assert shown(page) == everything


def test_the_page_shows_what_other_settings_made_as_it_is(sod, photos, tmp_path):
    page, mended = tmp_path / "sheet.html", Path(f"{photos}_white", "b_white.png")
    words = ["-t", "white", "--report", page]
    masked(sod, photos, *words)
    masked(sod, photos / "b.png", "-t", "white", "--canvas", "31x17", "--overwrite", "-o", mended)
    made = mended.read_bytes()
    result = masked(sod, photos, *words)
    assert "2 pictures: 2 skipped (1 of them made with other settings)" in result.stderr
    assert shown(page) == [{"a.jpg", "b.png"}, {"a_white.png", "b_white.png"}]
    text = page.read_text()
    assert (text.count("own mask"), text.count('"sure">made with other settings')) == (1, 1)
    assert text.count("data:image/") == 3 + 2  # no map beside what it did not make
    small = [BytesIO(b64decode(one)) for one in re.findall(r'webp;base64,([^"]+)', text)]
    assert [Image.open(one).size for one in small].count((31, 17)) == 1
    assert mended.read_bytes() == made
    (photos / "a.jpg").write_bytes(b"")  # its result stays
    result = masked(sod, photos, *words)
    assert (result.exit_code, "a.jpg: " in result.stderr) == (3, True)


@pytest.mark.parametrize(("target", "done"), [("out", 1), (None, 3)])
def test_a_full_disk_ends_the_run_where_all_results_go(sod, photos, monkeypatch, target, done):
    """Without -o, photos of several arguments may lie on several disks."""
    for name in ("c.png", "d.png"):
        shutil.copy(photos / "b.png", photos / name)
    monkeypatch.setattr(os, "fsync", partial(_second_fails, count()))
    where = [] if target is None else ["-o", photos / target]
    names = sorted(photos.iterdir())
    result = sod("infer", *names, "--mask", own_masks(photos, "abcd"), *where)
    assert result.stderr.count("No space left on device") == 1
    told = "1 failed, 2 not begun" if target else "1 failed"
    assert result.stderr.endswith(f"\n4 pictures: {done} done, {told}\n")
    assert result.exit_code == (1 if target else 3)


def _second_fails(calls, descriptor):
    if next(calls) == 1:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_options_for_films_and_cameras_that_do_nothing_are_named(sod, photos):
    words = ["--steady", "none", "--no-audio", "--codec", "h264", "--no-show"]
    result = masked(sod, photos, *words, "--dry-run")
    told = "--steady, --no-audio, --codec, --no-show: without effect, no source is a film or camera"
    assert result.stderr.splitlines() == [f"warning: {told}", "2 pictures: 2 to write"]
    assert result.exit_code == 0
    assert masked(sod, photos, *words, "-q", "--dry-run").stderr == ""


def test_options_for_other_formats_are_named(sod, photos):
    words = ["--quality", "50", "--compress", "9", "--dry-run"]
    lossy = "warning: --quality: without effect, no result is of a lossy format\n"
    png = "warning: --compress: without effect, no result is a PNG\n"
    count = "2 pictures: 2 to write\n"
    assert masked(sod, photos, *words).stderr == lossy + count
    assert masked(sod, photos, *words, "-t", "white", "--format", "jpg").stderr == png + count
    assert (
        masked(sod, photos, *words, "-t", "map", "--format", "tiff").stderr == lossy + png + count
    )


def test_the_photo_itself_is_no_mask(sod, photos):
    grey = Image.open(photos / "b.png").convert("L")
    grey.save(photos / "c.png")
    for mask in (photos, photos / "c.png"):
        result = sod("infer", photos / "c.png", "--mask", mask, "-t", "map")
        told = f"error: {photos / 'c.png'}: --mask names the photo itself, not a mask of it\n"
        assert (result.exit_code, result.stderr) == (1, told)
    Image.fromarray(draw_photo(1)[1]).save(photos / "c_map.png")
    result = sod("infer", photos / "c.png", "--mask", photos, "-t", "white")
    assert result.exit_code == 0, result.stderr


def test_masks_lie_in_the_folders_of_their_photos_as_results_do(sod, tmp_path):
    for seed, sub in enumerate(["s1", "s2"]):
        (tmp_path / "in" / sub).mkdir(parents=True)
        (tmp_path / "masks" / sub).mkdir(parents=True)
        rgb, mask = draw_photo(seed)
        Image.fromarray(rgb).save(tmp_path / "in" / sub / "1.jpg")
        Image.fromarray(mask).save(tmp_path / "masks" / sub / "1_map.png")
    words = ("infer", tmp_path / "in", "-r", "--mask", tmp_path / "masks", "-t", "map")
    result = sod(*words)
    assert result.exit_code == 0, result.stderr
    for seed, sub in enumerate(["s1", "s2"]):
        made = read(tmp_path / "in_map" / sub / "1_map.png")
        assert np.array_equal(made > 0, draw_photo(seed)[1])
    (tmp_path / "masks" / "s2" / "1_map.png").rename(tmp_path / "masks" / "1.png")
    assert sod(*words, "-o", tmp_path / "flat").exit_code == 0
    assert np.array_equal(read(tmp_path / "flat" / "s2" / "1_map.png") > 0, draw_photo(1)[1])


def test_a_mask_is_not_cleaned(sod, photos):
    masks = own_masks(photos, "b")
    mask = np.zeros((90, 120), np.uint8)
    mask[20:80, 30:90] = 230
    mask[2:4, 2:4], mask[50:52, 60:62] = 255, 0  # too small for a network's map
    Image.fromarray(mask).save(masks / "b.png")
    assert sod("infer", photos / "b.png", "--mask", masks).exit_code == 0
    assert np.array_equal(read(photos / "b_rgba.png")[..., 3], mask)


def test_a_dry_run_names_the_photos_without_a_mask(sod, photos):
    masks = own_masks(photos, "a")
    for words in (("--dry-run",), ()):
        result = sod("infer", photos, "--mask", masks, "-t", "white", *words)
        assert result.exit_code == 3
        assert f"error: {photos / 'b.png'}: not done, no mask b.* in {masks}\n" in result.stderr
        assert "1 failed" in result.stderr or "1 to fail" in result.stderr
    own_masks(photos, "ab")
    assert sod("infer", photos, "--mask", masks, "-t", "white").exit_code == 0


def test_a_mask_that_is_a_dangling_link_fails_only_its_photo(sod, photos):
    masks = own_masks(photos, "ab")
    (masks / "a.png").unlink()
    (masks / "a.png").symlink_to(masks / "gone.png")
    result = sod("infer", photos, "--mask", masks, "-t", "white", "--json")
    assert result.exit_code == 3
    first, second = json.loads(result.stdout)["results"]
    assert first["error"] == f"{masks / 'a.png'}: no such file or directory"
    assert second["status"] == "done"


def test_a_page_of_another_program_is_only_replaced_on_demand(sod, photos, tmp_path):
    page = tmp_path / "sheet.html"
    page.write_text("<!doctype html><meta name=generator content='sodcli'><p>Mine")
    result = masked(sod, photos, "-t", "white", "--report", page)
    assert result.exit_code == 2
    told = f"{page}: exists and is no page of --report; --overwrite replaces it\n"
    assert result.stderr == f"error: {told}"
    assert not Path(f"{photos}_white").exists()
    assert masked(sod, photos, "-t", "white", "--report", page, "--overwrite").exit_code == 0
    assert shown(page)[0] == {"a.jpg", "b.png"}


def test_box_limits_the_region_of_the_network(sod, photos, small_weights):
    sod("infer", photos / "a.jpg", "-t", "map", "-w", small_weights, "--box", "30,20,40,50")
    found = read(photos / "a_map.png")
    assert found[20:70, 30:70].max() > 0
    found[20:70, 30:70] = 0
    assert found.max() == 0
    outside = sod("infer", photos / "b.png", "-w", small_weights, "--box", "500,0,9,9")
    assert outside.exit_code == 1
    assert "the photo is 120x90, and --box lies outside" in outside.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mask", "nowhere"], "no such file or folder"),
        (["--canvas", "big"], "WIDTHxHEIGHT"),
        (["--box", "1,2,3"], "--box"),
        (["--report", "sheet.txt"], "must end in .html"),
        (["-t", "dodgerblu"], "Did you mean 'dodgerblue'?"),
        (["-t", "."], "type '.': is a folder; name a picture or film"),
    ],
)
def test_contradicting_photo_options_are_refused(sod, photos, words, message):
    result = sod("infer", photos / "a.jpg", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def masked(sod, photos, *words):
    """Process the photos with given masks: no network, so equal results on every machine."""
    return sod("infer", photos, "--mask", own_masks(photos, "ab"), *words)


def own_masks(photos, names):
    masks = photos.parent / "masks" if photos.is_dir() else photos.parent.parent / "masks"
    masks.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        Image.fromarray(draw_photo(seed)[1]).save(masks / f"{name}.png")
    return masks


def test_a_crop_holds_what_the_threshold_makes_opaque(sod, photos):
    mask = np.zeros((90, 120), np.uint8)
    mask[20:60, 30:100] = 102  # 0.4
    Image.fromarray(mask).save(photos.parent / "faint.png")
    words = ("infer", photos / "a.jpg", "--mask", photos.parent / "faint.png", "--margin", "0%")
    result = sod(*words, "--threshold", 0.3)
    assert "empty" not in result.stderr
    with Image.open(photos / "a_rgba.png") as cut:
        assert cut.size == (70, 40)
    assert "the mask is empty, not cropped" in sod(*words, "--overwrite").stderr


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "avif", "tiff", "bmp"])
def test_crop_and_canvas_keep_the_resolution(sod, photos, form):
    from sodcli.io.pictures.read import read_picture

    for number, words in enumerate([[], ["--crop"], ["--canvas", "64x64"]]):
        out = photos.parent / f"{form}{number}"
        masked(sod, photos, "-t", "white", "--format", form, "-o", out, *words)
        made = [read_picture(out / f"{name}_white.{form}") for name in ("a", "b")]
        assert [frame.dpi for frame in made] == [pytest.approx((300, 300), abs=0.1)] * 2


@pytest.mark.parametrize(
    ("form", "other"),
    [
        ("png", ["--canvas", "64x64"]),
        ("jpg", ["--quality", "50"]),
        ("webp", ["--threshold", "0.5"]),
        ("avif", ["--no-clean"]),
        ("tiff", ["--crop"]),
    ],
)
def test_results_of_other_settings_are_reported(sod, photos, form, other):
    words = ["-t", "white", "--format", form]
    masked(sod, photos, *words)
    usual = "2 pictures: 2 skipped; --overwrite replaces what exists\n"
    assert masked(sod, photos, *words).stderr == usual
    told = "2 skipped (made with other settings); --overwrite replaces what exists\n"
    result = masked(sod, photos, *words, *other)
    assert (result.exit_code, result.stderr) == (0, f"2 pictures: {told}")
    plan = masked(sod, photos, *words, *other, "--dry-run").stderr
    assert plan == f"2 pictures: {told.replace('2 skipped', '2 to skip')}"
    rows = json.loads(masked(sod, photos, *words, *other, "--json").stdout)["results"]
    assert [row["other_settings"] for row in rows] == [True, True]
    masked(sod, photos, *words, *other, "--overwrite")
    assert masked(sod, photos, *words, *other).stderr == usual
    Path(f"{photos}_white", f"a_white.{form}").unlink()
    assert "2 pictures: 1 done, 1 skipped (made with" in masked(sod, photos, *words).stderr


def test_another_background_with_the_same_name_and_another_model_are_reported(
    sod, photos, small_weights
):
    paper = photos.parent / "paper.png"
    Image.new("RGB", (20, 20), "red").save(paper)
    words = ["infer", photos / "a.jpg", "-t", paper, "-w", small_weights]
    sod(*words)
    skipped = f"{photos / 'a_paper.png'}: exists{{}}, skipped (--overwrite replaces)\n"
    assert sod(*words).stderr == skipped.format("")
    assert sod(*words[:-2], "-m", "lite").stderr == skipped.format(", made with other settings")
    Image.new("RGB", (20, 20), "blue").save(paper)
    assert sod(*words).stderr == skipped.format(", made with other settings")


def test_pictures_from_other_programs_are_only_skipped(sod, photos):
    masked(sod, photos, "-t", "white")
    Image.new("RGB", (9, 9)).save(Path(f"{photos}_white", "a_white.png"))
    told = "2 pictures: 2 skipped (1 of them made with other settings); --overwrite replaces"
    assert masked(sod, photos, "-t", "white", "--crop").stderr.startswith(told)


def test_further_pages_of_a_tiff_are_reported(sod, photos):
    first, second = (Image.fromarray(draw_photo(seed)[0]) for seed in (0, 1))
    first.save(photos / "a.tif", save_all=True, append_images=[second, second])
    (photos / "a.jpg").unlink()
    result = masked(sod, photos, "-t", "white")
    assert f"{photos / 'a.tif'}: 3 pages, only the first is used\n" in result.stderr
    assert result.stderr.count(" pages") == 1


@pytest.mark.parametrize("named", [True, False])
def test_a_palette_mask_is_read_by_index(sod, photos, named):
    mask = Image.fromarray(draw_photo(0)[1].astype(np.uint8) * 3, "P")
    mask.putpalette([0, 0, 0, 9, 0, 0, 0, 9, 0, 8, 8, 30])  # index 3 is nearly black
    masks = photos.with_name("masks")
    masks.mkdir()
    name = "mask.png" if named else "a.png"
    mask.save(masks / name)
    source = masks / name if named else masks
    result = sod("infer", photos / "a.jpg", "--mask", source, "-t", "map")
    assert result.exit_code == 0, result.stderr
    assert np.array_equal(read(photos / "a_map.png") > 127, draw_photo(0)[1])


def test_a_photo_as_mask_is_refused(sod, photos):
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "noise.png")
    result = sod("infer", photos / "a.jpg", "--mask", photos / "noise.png")
    assert result.exit_code == 1
    assert "is a colour picture and no mask on black" in result.stderr
