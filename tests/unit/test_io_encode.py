import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from sodcli.errors import SinkError, UsageError
from sodcli.io.pictures.encode import check_format, encode_picture, is_format
from sodcli.io.pictures.read import decode_picture, read_picture, read_software
from tests.colour_kit import p3_in_srgb, p3_profile

WITH_ALPHA = [".png", ".webp", ".avif", ".tif", ".tiff"]
WITHOUT = [".jpg", ".jpeg", ".bmp"]
LOSSLESS = {".png", ".tif", ".tiff", ".bmp"}
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def drawn(channels):
    rows, columns = np.indices((30, 40))
    planes = [columns * 5 + 20, rows * 6 + 30, 200 - rows - columns, rows + columns + 100]
    return np.stack(planes[:channels], -1).astype(np.uint8)


@pytest.mark.parametrize("suffix", WITH_ALPHA + WITHOUT)
@pytest.mark.parametrize("icc", [None, ICC], ids=["none", "srgb"])
def test_rgb_survives_encoding(suffix, icc):
    frame = decode_picture(encode_picture(drawn(3), suffix, icc=icc), name="x")
    assert abs(frame.rgb.astype(int) - drawn(3)).max() <= (0 if suffix in LOSSLESS else 8)
    assert frame.icc == (None if suffix == ".bmp" else icc)


def test_bmp_which_holds_no_profile_gets_the_colours_of_srgb():
    frame = decode_picture(encode_picture(drawn(3), ".bmp", icc=p3_profile()), name="x")
    assert np.abs(frame.rgb - p3_in_srgb(drawn(3))).max() <= 2
    assert np.abs(frame.rgb.astype(int) - drawn(3)).max() > 10


@pytest.mark.parametrize("suffix", WITH_ALPHA)
def test_alpha_survives_encoding(suffix):
    frame = decode_picture(encode_picture(drawn(4), suffix, icc=ICC), name="x")
    assert abs(frame.alpha.astype(int) - drawn(4)[..., 3]).max() <= (0 if suffix in LOSSLESS else 3)
    assert frame.icc == ICC


@pytest.mark.parametrize("suffix", WITH_ALPHA + WITHOUT)
def test_a_map_is_grey_and_has_no_profile_after_encoding(suffix):
    grey = drawn(1)[..., 0]
    data = encode_picture(grey, suffix.upper(), icc=ICC)
    frame = decode_picture(data, name="x")
    assert abs(frame.rgb[..., 1].astype(int) - grey).max() <= (0 if suffix in LOSSLESS else 4)
    assert frame.icc is None
    if suffix in LOSSLESS:
        assert Image.open(io.BytesIO(data)).mode == "L"


@pytest.mark.parametrize("suffix", WITHOUT)
def test_alpha_is_refused_by_formats_without_it(suffix):
    hint = "use .png, .webp, .avif or .tiff"
    with pytest.raises(UsageError, match=f"cannot write transparency to a/x{suffix}; {hint}"):
        check_format(f"a/x{suffix}", suffix, alpha=True)
    with pytest.raises(UsageError, match="cannot write transparency"):
        encode_picture(drawn(4), suffix)


@pytest.mark.parametrize("suffix", ["", ".gif", ".xyz", ".mp4"])
def test_an_unknown_suffix_names_the_known_ones(suffix):
    assert not is_format(suffix)
    with pytest.raises(UsageError, match=r"x: no picture format has this suffix; use one of \.png"):
        check_format("x", suffix, alpha=False)


@pytest.mark.parametrize(("suffix", "side"), [(".jpg", 65500), (".webp", 16383), (".avif", 32768)])
def test_the_largest_side_of_a_format_is_accepted_and_one_more_refused(suffix, side):
    thin = np.zeros((1, side, 3), np.uint8)
    assert decode_picture(encode_picture(thin, suffix), name="x").size_hw == (1, side)
    with pytest.raises(SinkError, match=rf"ends at {side} pixels a side, this is {side + 1}x1"):
        encode_picture(np.zeros((1, side + 1, 3), np.uint8), suffix)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
def test_other_formats_accept_70000_pixels(suffix):
    assert decode_picture(encode_picture(np.zeros((2, 70000, 3), np.uint8), suffix), name="x")


def test_quality_changes_the_size_of_lossy_files():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in (".jpg", ".webp", ".avif"):
        small, large = (encode_picture(noise, suffix, quality=q) for q in (20, 95))
        assert len(small) < len(large) / 2


def test_jpeg_keeps_full_chroma():
    stripes = np.full((32, 32, 3), (120, 255, 155), np.uint8)
    stripes[:, ::2] = (200, 30, 30)
    out = decode_picture(encode_picture(stripes, ".jpg"), name="x").rgb
    assert abs(out.astype(int) - stripes).mean() < 6


def test_the_empty_part_of_a_cut_out_compresses_well():
    rgba = np.zeros((400, 400, 4), np.uint8)
    rgba[100:200, 100:200] = np.random.default_rng(0).integers(0, 256, (100, 100, 4))
    assert len(encode_picture(rgba, ".png")) < 1.1 * 100 * 100 * 4


@pytest.mark.parametrize("compress", [None, 6])
@pytest.mark.parametrize("suffix", WITH_ALPHA + WITHOUT)
def test_resolution_and_software_survive_encoding(tmp_path, suffix, compress):
    told = {"dpi": (300.0, 150.0), "software": "sodcli 1, settings abc"}
    path = tmp_path / f"x{suffix}"
    path.write_bytes(encode_picture(drawn(3), suffix, icc=ICC, compress=compress, **told))
    frame = read_picture(path)
    assert frame.dpi == pytest.approx((300, 150), abs=0.1)
    assert read_software(path) == ("" if suffix == ".bmp" else told["software"])
    assert abs(frame.rgb.astype(int) - drawn(3)).max() <= (0 if suffix in LOSSLESS else 8)


def test_files_that_are_not_pictures_have_no_software_tag(tmp_path):
    path = tmp_path / "x.png"
    assert read_software(path) == ""
    path.write_text("mine")
    assert read_software(path) == ""


def test_avif_keeps_full_chroma_and_at_quality_100_nearly_every_level():
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    out = decode_picture(encode_picture(noise, ".avif", quality=100), name="x").rgb
    assert abs(out.astype(int) - noise).max() <= 4
