"""Pictures and masks of every kind, and files that are neither."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sodcli.data.masks import check_pairs, read_mask, read_pair
from sodcli.data.pairs import Pair
from sodcli.data.read import read_image
from sodcli.errors import SourceError

HIGH, WIDE = 20, 30


def half() -> np.ndarray:
    """Return a mask of 0 and 1 with the subject in the left half."""
    mask = np.zeros((HIGH, WIDE), np.uint8)
    mask[:, : WIDE // 2] = 1
    return mask


def photo(size_wh: tuple[int, int] = (WIDE, HIGH)) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (size_wh[1], size_wh[0], 3), np.uint8)
    return Image.fromarray(cv2.GaussianBlur(noise, (0, 0), 3))


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = 6  # orientation: rotate by 90 degrees for display
    return exif


def test_colours_are_rgb(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (10, 120, 250)).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.shape == (2, 3, 3)
    assert image.dtype == np.uint8
    assert (image == (10, 120, 250)).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_every_mode_becomes_three_channels(tmp_path: Path, mode: str) -> None:
    photo().convert(mode).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (HIGH, WIDE, 3)


def test_a_picture_is_rotated_by_its_exif_orientation(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.jpg", exif=turned())
    stored = read_image(tmp_path / "a.jpg", upright=False)
    assert np.array_equal(read_image(tmp_path / "a.jpg"), np.rot90(stored, -1))


def test_a_rotated_tiff_that_is_not_square_is_read(tmp_path: Path) -> None:
    """OpenCV 5.0.0 returns None for it."""
    for name, pixels in {"a.tif": photo(), "m.tif": Image.fromarray(half() * 255)}.items():
        pixels.save(tmp_path / name, exif=turned())
    image, mask = read_pair(Pair(tmp_path / "a.tif", tmp_path / "m.tif", ""))
    assert np.array_equal(image, np.rot90(np.asarray(photo()), -1))
    assert np.array_equal(mask, np.rot90(half(), -1))


def palette_mask() -> Image.Image:
    mask = Image.fromarray(half()).convert("P")
    mask.putpalette([0, 0, 0, 255, 255, 255])
    mask.putdata(half().ravel().tolist())
    return mask


def with_alpha(colour: int) -> Image.Image:
    alpha = Image.fromarray(half() * 255)
    return Image.merge("RGBA", [Image.new("L", alpha.size, colour)] * 3 + [alpha])


MASKS = {
    "0 and 255": lambda: Image.fromarray(half() * 255),
    "0 and 1": lambda: Image.fromarray(half()),
    "one bit": lambda: Image.fromarray(half() * 255).convert("1"),
    "palette": palette_mask,
    "sixteen bit": lambda: Image.fromarray(half().astype(np.uint16) * 65535),
    "colour": lambda: Image.fromarray(half() * 255).convert("RGB"),
    "opaque": lambda: Image.fromarray(half() * 255).convert("RGBA"),
    "white cut-out": lambda: with_alpha(255),
    "black cut-out": lambda: with_alpha(0),
}


@pytest.mark.parametrize("kind", MASKS)
def test_every_kind_of_mask(tmp_path: Path, kind: str) -> None:
    MASKS[kind]().save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == np.float32
    assert np.array_equal(mask, half())


def test_a_float_mask_is_scaled(tmp_path: Path) -> None:
    Image.fromarray(half().astype(np.float32) * 0.25).save(tmp_path / "mask.tif")
    assert np.array_equal(read_mask(tmp_path / "mask.tif"), half() * np.float32(0.25))


def test_grey_levels_of_a_mask_are_kept(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    Image.fromarray(ramp).save(tmp_path / "mask.png")
    np.testing.assert_allclose(read_mask(tmp_path / "mask.png"), ramp / 255, atol=1e-7)


def test_a_jpeg_mask_is_rotated_like_its_picture(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.jpg", exif=turned())
    Image.fromarray(half() * 255).save(tmp_path / "mask.jpg", exif=turned(), quality=100)
    image, mask = read_pair(Pair(tmp_path / "a.jpg", tmp_path / "mask.jpg", ""))
    assert image.shape[:2] == mask.shape == (WIDE, HIGH)
    assert mask[0].min() > 0.9
    assert mask[-1].max() < 0.1


def test_a_mask_of_the_unrotated_size_gets_the_unrotated_picture(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.jpg", exif=turned())
    Image.fromarray(half() * 255).save(tmp_path / "a.png")
    image, mask = read_pair(Pair(tmp_path / "a.jpg", tmp_path / "a.png", ""))
    assert np.array_equal(image, read_image(tmp_path / "a.jpg", upright=False))
    assert np.array_equal(mask, half())


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    photo((40, 20)).save(tmp_path / "a.jpg")
    Image.fromarray(half()).save(tmp_path / "a.png")
    with pytest.raises(SourceError, match=r"a\.png: is 30x20 px, its picture 40x20 px"):
        read_pair(Pair(tmp_path / "a.jpg", tmp_path / "a.png", ""))


def spoil(path: Path, how: str) -> None:
    photo((200, 200)).save(path)
    data = path.read_bytes()
    spoilt = {"empty": b"", "text": b"not a picture", "short": data[: len(data) // 2]}
    path.unlink() if how == "missing" else path.write_bytes(spoilt[how])


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp"])
@pytest.mark.parametrize("how", ["empty", "text", "short", "missing"])
def test_files_that_are_not_pictures_are_refused(tmp_path: Path, suffix: str, how: str) -> None:
    path = tmp_path / f"a.{suffix}"
    spoil(path, how)
    for read in (read_image, read_mask):
        with pytest.raises(SourceError, match=rf"a\.{suffix}: (is damaged|No such file)"):
            read(path)


def test_a_photo_inside_a_photo_is_not_mistaken_for_its_end(tmp_path: Path) -> None:
    photo((200, 200)).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    photo((16, 16)).save(tmp_path / "thumbnail.jpg")
    thumbnail = (tmp_path / "thumbnail.jpg").read_bytes()
    comment = b"\xff\xfe" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:2] + comment + data[2:])
    assert np.array_equal(read_image(path), read_image(tmp_path / "whole.jpg"))
    path.write_bytes((data[:2] + comment + data[2:])[:-200])
    with pytest.raises(SourceError, match="damaged"):
        read_image(path)


def test_checking_drops_the_damaged_and_reports_them(tmp_path: Path) -> None:
    def pair(name: str, mask: np.ndarray) -> Pair:
        photo().save(tmp_path / f"{name}.jpg")
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
        return Pair(tmp_path / f"{name}.jpg", tmp_path / f"{name}.png", "")

    good, black = pair("good", half() * 255), pair("black", half() * 0)
    other = pair("other", half()[:5])
    checked = check_pairs([good, black, other])
    assert checked.pairs == (good, black)
    (left_out,) = checked.problems
    assert left_out == f"1 pair left out: {other.mask}: is 30x5 px, its picture 30x20 px"
    assert check_pairs([good]).problems == ()
