"""Cropping, cleaning, certainty and masks of photos."""

import numpy as np
import pytest
from PIL import Image

from sodcli.errors import SourceError, UsageError
from sodcli.frame import Frame
from sodcli.imaging.compose import Look, compose, flat
from sodcli.imaging.framing import Framing, framed, read_box, read_framing, subject_box
from sodcli.imaging.matte import certainty, clean
from sodcli.infer.masks import mask_of

BOX = (40, 30, 100, 70)  # left, top, right, bottom


def photo(box=BOX, size_hw=(120, 160)):
    saliency = np.zeros(size_hw, np.float32)
    if box:
        saliency[box[1] : box[3], box[0] : box[2]] = 1
    noise = np.random.default_rng(1).integers(60, 200, (*size_hw, 3), np.uint8)
    return Frame(noise, 0, "photo", icc=b"profile").with_saliency(saliency)


def placed(frame, framing):
    """Return the size of the result and the subject's box in it."""
    out = framed(frame, framing, subject_box(frame.saliency))
    assert out.rgb.shape[:2] == out.saliency.shape
    assert out.icc == frame.icc
    return (out.size_hw[1], out.size_hw[0]), subject_box(out.saliency)


@pytest.mark.parametrize(
    "box", [BOX, (0, 0, 30, 20), (100, 10, 160, 120), (3, 50, 157, 61), (80, 5, 90, 115)]
)
@pytest.mark.parametrize("size_wh", [(1000, 1000), (75, 33), (301, 800)])
def test_the_canvas_is_exact_and_the_subject_centred_and_as_large_as_fits(box, size_wh):
    found, (left, top, right, bottom) = placed(photo(box), Framing(0.05, canvas_wh=size_wh))
    assert found == size_wh
    assert abs((left + right) / 2 - size_wh[0] / 2) <= 1
    assert abs((top + bottom) / 2 - size_wh[1] / 2) <= 1
    free = 0.05 * min(size_wh)
    gaps = min(left, size_wh[0] - right), min(top, size_wh[1] - bottom)
    assert abs(min(gaps) - free) <= 2 or min(gaps) == gaps[0] == pytest.approx(free, abs=2)


def test_margins_are_of_the_subject_or_in_pixels():
    assert placed(photo(), Framing(0.1)) == ((72, 52), (6, 6, 66, 46))
    assert placed(photo(), Framing(20, in_px=True)) == ((100, 80), (20, 20, 80, 60))
    assert placed(photo(), Framing(0, square=True)) == ((60, 60), (0, 10, 60, 50))


def test_the_canvas_beyond_the_photo_is_the_background():
    frame = photo((0, 0, 60, 40))
    out = framed(frame, Framing(20, in_px=True), subject_box(frame.saliency))
    assert (compose("rgba", out)[:10, :, 3] == 0).all()
    assert (compose("picture", out, Look(flat((9, 8, 7))))[:10] == (9, 8, 7)).all()
    assert np.array_equal(out.rgb[20:60, 20:80], frame.rgb[:40, :60])


@pytest.mark.parametrize("side", [60, 700])
def test_scaling_a_cut_out_does_not_darken_its_edge(side):
    rows, columns = np.indices((200, 200)) - 100
    alpha = (np.clip(80 - np.hypot(rows, columns), 0, 1) * 255).astype(np.uint8)
    rgb = np.where(alpha[..., None] > 0, np.array([100, 150, 50], np.uint8), np.uint8(0))
    frame = Frame(rgb, 0, "x", alpha=alpha).with_saliency(np.ones(alpha.shape, np.float32))
    out = compose("rgba", framed(frame, Framing(canvas_wh=(side, side)), (20, 20, 180, 180)))
    shown = out[out[..., 3] > 0, :3].astype(int)
    assert len(shown) > side * side / 2
    assert abs(shown - (100, 150, 50)).max() <= 1


def test_a_margin_that_makes_the_result_huge_is_refused():
    with pytest.raises(SourceError, match="photo: the result would be 30040x30040 pixels"):
        framed(photo(), Framing(15_000, in_px=True), (0, 0, 40, 40))


def test_a_photo_without_a_subject_is_not_cropped():
    assert framed(photo(None), Framing(0.1), None).size_hw == (120, 160)
    on_canvas = framed(photo(None), Framing(0.1, canvas_wh=(320, 320)), None)
    assert on_canvas.size_hw == (320, 320)
    assert (on_canvas.alpha[40:280] > 250).all()  # 2 x 120 rows: the whole photo fits


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("5", None), "such as 5% or 20px"),
        ((None, "1000"), "WIDTHxHEIGHT"),
        ((None, "0x9"), "WIDTHxHEIGHT"),
        (("500px", "100x100"), "leaves no room"),
    ],
)
def test_impossible_sizes_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        read_framing(True, *words)
    assert read_framing(False, None, None) is None


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "1,2,0,4", "-1,2,3,4", ""])
def test_a_box_is_four_numbers(text):
    assert read_box(" 1, 2,3 ,4") == (1, 2, 3, 4)
    with pytest.raises(UsageError, match="--box"):
        read_box(text)


def test_cleaning_removes_specks_fills_pinholes_and_keeps_thin_parts():
    matte = photo((20, 20, 140, 100)).saliency.copy()
    matte[20:100, 20:140] = 0.93  # nearly opaque
    matte[5:7, 5:7] = 0.8  # a speck
    matte[50:52, 60:62] = 0.1  # a pinhole
    matte[60:90, 80:110] = 0  # a real hole
    matte[10:20, 70] = 0.9  # a whisker
    matte[100, 20:140] = 0.5  # a soft edge
    out = clean(matte)
    assert (out[5:7, 5:7] == 0).all()
    assert (out[50:52, 60:62] == 1).all()
    assert (out[60:90, 80:110] == 0).all()
    assert (out[10:20, 70] > 0.999).all()
    assert (out[22:40, 22:50] > 0.999).all()
    assert 0.4 < out[100, 60] < 0.6
    assert out.dtype == np.float32


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_cleaning_keeps_empty_and_full_mattes(value):
    flat_map = np.full((30, 40), value, np.float32)
    assert np.array_equal(clean(flat_map), flat_map)
    holes = np.full((30, 40), 235, np.uint8)
    holes[10, 10] = 0
    kept = clean(flat_map * holes / np.float32(255), holes)
    assert np.array_equal(kept, flat_map * holes / np.float32(255))


def test_certainty_falls_with_softness_and_emptiness():
    sharp = photo().saliency
    soft = sharp * np.float32(0.6)
    assert certainty(sharp) > 0.8
    assert certainty(soft) < certainty(sharp)
    assert certainty(np.zeros((50, 60), np.float32)) == 0


def test_a_mask_is_found_by_name_read_from_brightness_or_alpha_and_scaled(tmp_path):
    frame = photo()
    grey = Image.fromarray((frame.saliency * 255).astype(np.uint8))
    for name in ("photo.png", "photo_map.webp"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        grey.save(folder / name, lossless=True)
        assert np.array_equal(mask_of(str(folder), frame, 10**6), frame.saliency)
    cutout = Image.merge("RGBA", [*Image.new("RGB", grey.size).split(), grey])
    cutout.save(tmp_path / "mended.png")
    assert np.array_equal(mask_of(str(tmp_path / "mended.png"), frame, 10**6), frame.saliency)
    grey.resize((80, 60)).save(tmp_path / "half.png")
    half = mask_of(str(tmp_path / "half.png"), frame, 10**6)
    assert np.abs(half - frame.saliency).mean() < 0.03


def test_a_mask_of_another_shape_or_name_is_refused(tmp_path):
    Image.new("L", (50, 50)).save(tmp_path / "other.png")
    with pytest.raises(SourceError, match=r"the mask is 50x50, the photo 160x120"):
        mask_of(str(tmp_path / "other.png"), photo(), 10**6)
    with pytest.raises(SourceError, match=r"no mask photo\.\*"):
        mask_of(str(tmp_path), photo(), 10**6)
