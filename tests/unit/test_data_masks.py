"""Mask files: palettes, colours, faint masks and masks of another size."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sodcli.benchmark.measure import read_map, read_truth
from sodcli.data.masks import check_masks, check_pairs, decode_mask, read_mask, read_pair
from sodcli.data.pairs import Pair
from sodcli.data.read import read_image, read_stored
from sodcli.errors import SourceError

HIGH, WIDE = 40, 60


def voc_colours() -> list[int]:
    """Return the colours of VOC and DAVIS for class and object numbers."""
    colours = []
    for number in range(256):
        red = green = blue = 0
        for bit in range(8):
            red |= (number >> 3 * bit & 1) << 7 - bit
            green |= (number >> 3 * bit + 1 & 1) << 7 - bit
            blue |= (number >> 3 * bit + 2 & 1) << 7 - bit
        colours += [red, green, blue]
    return colours


def indices(*boxes: tuple[int, slice]) -> np.ndarray:
    drawn = np.zeros((HIGH, WIDE), np.uint8)
    for number, columns in boxes:
        drawn[10:30, columns] = number
    return drawn


def palette_mask(drawn: np.ndarray) -> Image.Image:
    mask = Image.fromarray(drawn).convert("L")
    mask.putpalette(voc_colours())
    assert mask.mode == "P"
    return mask


TWO = indices((1, slice(5, 20)), (2, slice(30, 40)))


@pytest.mark.parametrize("suffix", ["png", "gif", "tif"])
def test_a_palette_mask_is_read_by_index(tmp_path: Path, suffix: str) -> None:
    palette_mask(TWO).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read_mask(tmp_path / f"a.{suffix}"), TWO > 0)
    levels, odd = read_truth(tmp_path / f"a.{suffix}")
    assert np.array_equal(levels, (TWO > 0) * 255)
    assert odd == {"palette truth"}


def test_the_void_class_of_voc_is_background_and_reported(tmp_path: Path) -> None:
    drawn = indices((15, slice(5, 20)), (255, slice(20, 23)))
    palette_mask(drawn).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), drawn == 15)
    assert read_truth(tmp_path / "a.png")[1] == {"palette truth", "void truth"}


def test_a_palette_map_is_read_by_index(tmp_path: Path) -> None:
    palette_mask(TWO).save(tmp_path / "a.png")
    levels, odd = read_map(tmp_path / "a.png")
    assert np.array_equal(levels, (TWO > 0) * 255)
    assert odd == {"palette"}


def test_a_grey_palette_is_read_as_grey(tmp_path: Path) -> None:
    mask = Image.fromarray(TWO)
    mask.putpalette([value for grey in (0, 128, 255) for value in (grey, grey, grey)])
    mask.save(tmp_path / "a.png")
    assert sorted({*(read_mask(tmp_path / "a.png") * 255).round().ravel()}) == [0, 128, 255]


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 0, 255), (128, 0, 0), (0, 64, 0)])
def test_one_colour_on_black(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    pixels = (TWO > 0)[..., None] * np.array(colour, np.uint8)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), TWO > 0)
    assert read_truth(tmp_path / "a.png")[1] == {"colour truth"}


def test_many_classes_in_colour(tmp_path: Path) -> None:
    palette_mask(TWO).convert("RGB").save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), TWO > 0)


def test_soft_edges_of_one_hue_stay_soft(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (20, 1))
    Image.fromarray(np.dstack([ramp, 0 * ramp, 0 * ramp])).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_mask(tmp_path / "a.png"), ramp / 238, atol=1e-6)


def test_colours_in_a_lossy_class_mask_are_matched_to_the_nearest_class(tmp_path: Path) -> None:
    drawn = np.kron(TWO, np.ones((8, 8), np.uint8))
    palette_mask(drawn).convert("RGB").save(tmp_path / "a.jpg", quality=90, subsampling=0)
    differing = (read_mask(tmp_path / "a.jpg") > 0.5) != (drawn > 0)
    assert differing.mean() < 0.01


def test_a_photo_as_mask_is_refused_with_its_colours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8)).resize((90, 90))
    photo.save(tmp_path / "a.png")
    with pytest.raises(SourceError, match=r"a\.png: is a colour picture and no mask.*#[0-9a-f]{6}"):
        read_mask(tmp_path / "a.png")


def test_colours_without_black_are_refused(tmp_path: Path) -> None:
    pixels = np.full((HIGH, WIDE, 3), 255, np.uint8)
    pixels[10:30, 5:20] = 255, 0, 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(SourceError, match=r"#ffffff \(88%\), #ff0000 \(12%\)"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_colour_files_of_rare_types_are_read_as_grey(tmp_path: Path, dtype: type) -> None:
    top = 1.0 if dtype is np.float64 else np.iinfo(np.int32).max
    levels = (TWO > 0) * 0.5
    assert cv2.imwrite(str(tmp_path / "a.tiff"), np.dstack([levels * top] * 3).astype(dtype))
    assert np.abs(read_mask(tmp_path / "a.tiff") - levels).max() < 1e-6


@pytest.mark.parametrize("suffix", ["avif", "webp", "gif", "jfif"])
def test_pictures_of_every_format_that_infer_reads(tmp_path: Path, suffix: str) -> None:
    rgb = np.dstack([(TWO > 0).astype(np.uint8) * 200] * 3)
    kind = {"jfif": "JPEG"}.get(suffix, suffix.upper())
    Image.fromarray(rgb).save(tmp_path / f"a.{suffix}", kind, quality=100)
    assert np.abs(read_image(tmp_path / f"a.{suffix}").astype(int) - rgb).mean() < 3


def make_pairs(folder: Path, masks: list[np.ndarray]) -> list[Pair]:
    pairs = []
    for number, mask in enumerate(masks):
        image, truth = folder / f"{number}.jpg", folder / f"{number}.png"
        Image.new("RGB", (WIDE, HIGH), (90, 120, 60)).save(image)
        Image.fromarray(mask).save(truth)
        pairs.append(Pair(image, truth, ""))
    return pairs


def white(levels: int = 255) -> np.ndarray:
    return ((TWO > 0) * levels).astype(np.uint8)


def test_some_faint_and_black_masks_are_counted(tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path, [white(), white(38), white(0), white()])
    calls: list[None] = []
    remarks = check_masks(pairs, advance=lambda: calls.append(None))
    assert len(calls) == 4
    assert remarks == (
        f"1 of 4 masks are black: {pairs[2].mask}",
        f"1 of 4 masks are nowhere brighter than half; class numbers?: {pairs[1].mask} (38)",
    )


@pytest.mark.parametrize(
    ("level", "says"),
    [(20, r"nowhere brighter than half: .*0\.png \(at most 20 of 255\)"), (0, r"black: .*0\.png")],
)
def test_all_faint_or_black_is_an_error_with_three_names(
    tmp_path: Path, level: int, says: str
) -> None:
    pairs = make_pairs(tmp_path, [white(level)] * 5)
    with pytest.raises(SourceError, match=f"all 5 masks are {says}") as error:
        check_masks(pairs)
    assert str(error.value).count(".png") == 3


def test_photos_in_place_of_masks_are_an_error_even_if_some_pass_as_masks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HIGH, WIDE, 3), np.uint8)
    pairs = make_pairs(tmp_path, [noise, white(), noise, noise])
    for check in (check_masks, check_pairs):
        with pytest.raises(SourceError, match=r"3 of 4 masks are photos: .*0\.png, .*2\.png"):
            check(pairs)
    assert "cannot be read" in check_masks(pairs[:2])[0]


def test_masks_of_another_size_are_resized_on_request(tmp_path: Path) -> None:
    half = white()[::2, ::2]
    soft = np.asarray(Image.fromarray(white()).resize((WIDE // 2, HIGH // 2)))
    hard, blurred = make_pairs(tmp_path, [half, soft])
    with pytest.raises(SourceError, match=r"0\.png: is 30x20 px, its picture 60x40 px"):
        read_pair(hard)
    image, mask = read_pair(hard, fit=True)
    assert image.shape[:2] == mask.shape == (HIGH, WIDE)
    assert set(np.unique(mask)) == {0, 1}
    assert len(np.unique(read_pair(blurred, fit=True)[1])) > 2
    assert "--fit-masks resizes them" in check_masks([hard, blurred])[0]
    assert "2 of 2 masks have another size than their picture and are resized" in "".join(
        check_masks([hard, blurred], fit=True)
    )


def test_palette_transparency_is_the_mask(tmp_path: Path) -> None:
    palette_mask(TWO).save(tmp_path / "a.png", transparency=0)
    mask = decode_mask(read_stored(tmp_path / "a.png"), tmp_path / "a.png").levels
    assert np.array_equal(mask, TWO > 0)
