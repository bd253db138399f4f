"""Pictures with colour code points and no profile: PNG, AVIF and HEIC, in P3, PQ and HLG."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from sodcli.io.pictures.cicp import code_points, to_srgb
from sodcli.io.pictures.encode import encode_picture
from sodcli.io.pictures.read import decode_picture
from tests.colour_kit import _TO_2020, _signal, p3_in_srgb, p3_profile
from tests.conftest import rare
from tests.film_kit import ffmpeg

P3, PQ_2020, HLG_2020 = (12, 13), (9, 16), (9, 18)
NAMES = {P3: ("smpte432", "iec61966-2-1"), PQ_2020: ("bt2020", "smpte2084"),
         HLG_2020: ("bt2020", "arib-std-b67")}  # fmt: skip


def png(pixels, points, **more):
    """Write a PNG with the chunk cICP."""
    data = encode_picture(np.ascontiguousarray(pixels), ".png", **more)
    chunk = b"cICP" + bytes((*points, 0, 1))
    chunk = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:33] + chunk + data[33:]  # after IHDR


def avif(pixels, points, tmp_path):
    """Write a 10-bit AVIF with an nclx box and no profile."""
    Image.fromarray(pixels).save(tmp_path / "x.png")
    primaries, transfer = NAMES[points]
    tags = f"color_primaries={primaries}:color_trc={transfer}:colorspace=bt709"
    filters = f"format=gbrp,zscale=m=709:r=full,format=yuv444p10le,setparams={tags}"
    words = ["-i", tmp_path / "x.png", "-vf", filters, "-c:v", "libaom-av1", "-still-picture", 1]
    ffmpeg(*words, "-crf", 5, tmp_path / "x.avif")
    return (tmp_path / "x.avif").read_bytes()


def heic(pixels, points):
    """Write a 10-bit HEIC with an nclx box and no profile."""
    deep = pixels.astype("<u2") * 257
    file = pillow_heif.from_bytes("RGB;16", deep.shape[1::-1], deep.tobytes())
    out = io.BytesIO()
    tags = {"color_primaries": points[0], "transfer_characteristics": points[1]}
    file.save(out, quality=95, chroma=444, matrix_coefficients=1, full_range_flag=1, **tags)
    return out.getvalue()


def patch(rgb):
    return np.full((64, 64, 3), rgb, np.uint8)


@pytest.fixture(params=["png", "avif", "heic"])
def written(request, tmp_path):
    """Return a function that writes pixels with code points in one of three formats."""
    if request.param == "avif":
        return lambda pixels, points: avif(pixels, points, tmp_path)
    return {"png": png, "heic": heic}[request.param]


def middle(data):
    frame = decode_picture(data, name="x")
    assert frame.icc is None
    return frame.rgb[32, 32].astype(int)


def test_p3_becomes_srgb(written):
    found = middle(written(patch((200, 120, 60)), P3))
    assert np.abs(found - (213, 115, 42)).max() <= 3


@pytest.mark.parametrize("points", [PQ_2020, HLG_2020])
@pytest.mark.parametrize("grey", [128, *rare(40, 200)])
def test_hdr_colours_below_white_equal_their_srgb_originals(written, points, grey):
    light = np.full(3, 203 * (((grey / 255) + 0.055) / 1.055) ** 2.4)
    kind = "PQ" if points == PQ_2020 else "HLG"
    coded = np.rint(_signal((light @ _TO_2020.T).clip(0), kind) * 255).astype(np.uint8)
    assert np.abs(middle(written(patch(coded), points)) - grey).max() <= 6


def test_diffuse_white_of_pq_is_nearly_white_and_highlights_keep_shades(written):
    shades = [middle(written(patch(code), PQ_2020)).min() for code in (148, 170, 191)]
    assert 235 <= shades[0] < shades[1] < shades[2] <= 255


def test_specified_code_points_of_png_override_its_profile():
    orange = patch((200, 120, 60))
    frame = decode_picture(png(orange, (1, 13), icc=p3_profile()), name="x")
    assert frame.icc is None
    assert np.array_equal(frame.rgb, orange)
    frame = decode_picture(png(orange, (2, 2), icc=p3_profile()), name="x")
    assert frame.icc == p3_profile()


def test_p3_and_linear_light_are_converted_as_css_defines():
    noise = np.random.default_rng(0).integers(0, 256, (300, 50, 3), dtype=np.uint8)
    assert np.abs(to_srgb(noise, *P3) - p3_in_srgb(noise)).max() <= 1
    assert to_srgb(patch(55), 1, 8)[0, 0].tolist() == [128, 128, 128]
    assert to_srgb(noise, 1, 1) is noise


def test_damaged_boxes_give_no_code_points(tmp_path):
    whole = avif(patch(100), P3, tmp_path)
    assert code_points(whole) == P3
    rng = np.random.default_rng(0)
    for cut in range(0, 300, 5):
        assert code_points(whole[:cut]) in (None, P3)
        broken = bytearray(whole)
        broken[rng.integers(0, 300)] ^= 1 << rng.integers(0, 8)
        found = code_points(bytes(broken))
        assert found is None or len(found) == 2
