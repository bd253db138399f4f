"""Pictures of every format and mode are read as upright 8-bit RGB."""

import io
import os
import struct
import zlib
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageCms

from sodcli.errors import SourceError
from sodcli.io.pictures.read import decode_picture, read_picture, read_stream
from sodcli.text import display_name


def slopes(height=24, width=36):
    """Draw smooth slopes without symmetry, so that rotations, flips and channel swaps show."""
    rows, columns = np.indices((height, width))
    planes = columns * 200 // width + 20, rows * 150 // height + 60, (rows + columns) * 2
    return np.stack(planes, -1).astype(np.uint8)


def saved(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def read(data):
    return decode_picture(data, name="x")


@cache  # a profile contains the time of its creation
def profile(space="sRGB"):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def fake_profile(space):
    """Return a profile header for a colour space without usable content."""
    return profile()[:16] + space + profile()[20:]


def made_profile(device, space, pcs, tag, table):
    """Return a minimal valid ICC profile: a header, the white point, one table."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    at = 128 + 4 + 2 * 12
    tags = struct.pack(">I4s2I", 2, b"wtpt", at, len(white))
    tags += struct.pack(">4s2I", tag, at + len(white), len(table))
    size = at + len(white) + len(table)
    header = struct.pack(">I4sI4s4s4s12x4s", size, b"lcms", 0x02400000, device, space, pcs, b"acsp")
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + tags + white + table


def linear_grey_profile():
    return made_profile(b"mntr", b"GRAY", b"XYZ ", b"kTRC", b"curv" + bytes(8))


def grey_ink_profile():
    """Return a CMYK profile of four grey inks: each reduces the lightness by its share."""
    identity = bytes(range(256))
    light = [255 * (1 - k) * (3 - c - m - y) // 3 for c, m, y, k in np.ndindex(2, 2, 2, 2)]
    nodes = b"".join(bytes((level, 128, 128)) for level in light)
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + identity * 4 + nodes + identity * 3
    return made_profile(b"prtr", b"CMYK", b"Lab ", b"A2B0", table)


def packed_bits(row, depth):
    """Pack samples of fewer than 8 bits, most significant bits first."""
    bits = (row[:, None] >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def png(values, colour_type, depth=16, clear=None):
    """Write a PNG that Pillow cannot write; ``clear`` is its transparent colour."""

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, colour_type, 0, 0, 0)
    packed = [
        row.astype(">u2").tobytes() if depth == 16 else packed_bits(row, depth) for row in values
    ]
    body = chunk(b"IHDR", header)
    if clear is not None:
        body += chunk(b"tRNS", np.array(clear, ">u2").tobytes())
    body += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in packed)))
    body += chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "PPM", "GIF", "JPEG", "WEBP", "AVIF"])
def test_every_format_is_known_by_its_content(tmp_path, form):
    path = tmp_path / "picture.txt"
    lossy = {"quality": 95} if form in ("JPEG", "WEBP", "AVIF") else {}
    path.write_bytes(saved(Image.fromarray(slopes()), form, **lossy))
    frame = read_picture(path, index=4)
    assert (frame.index, frame.name, frame.origin) == (4, "picture", path)
    assert frame.rgb.dtype == np.uint8
    assert frame.alpha is None
    assert frame.icc is None
    allowed = 12 if lossy or form == "GIF" else 0
    assert abs(frame.rgb.astype(int) - slopes()).max() <= allowed


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_read_upright(form, options, orientation):
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation](slopes())
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(stored))
    frame = read(saved(picture, form, exif=exif, **options))
    assert frame.rgb.shape == slopes().shape
    assert abs(frame.rgb.astype(int) - slopes()).max() <= 6


@pytest.mark.parametrize("rotation", [1, 6])
def test_avif_is_rotated_by_its_box_and_not_by_exif(rotation):
    exif = Image.Exif()
    exif[0x0112] = rotation  # Pillow writes this as a rotation box, and not as EXIF
    exif[0x0115] = 8
    data = saved(Image.fromarray(slopes()), "AVIF", exif=exif, quality=100)
    entry, orientation = b"\x01\x15\x00\x03", b"\x01\x12\x00\x03"
    if entry not in data:
        entry, orientation = b"\x15\x01\x03\x00", b"\x12\x01\x03\x00"
    assert data.count(entry) == 1
    turned = read(data.replace(entry, orientation)).rgb
    assert np.array_equal(turned, read(data).rgb)
    assert (turned.shape == slopes().shape) == (rotation == 1)


def test_alpha_is_rotated_with_the_picture():
    rgba = np.dstack([slopes(), slopes()[..., 0]])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(rgba)))
    assert np.array_equal(read(saved(turned, "PNG", exif=exif)).alpha, rgba[..., 3])


@pytest.mark.parametrize("exif", [b"MM\0*\xff\xff\xff\xffrubbish", b"rubbish", b"II*\0\x08"])
def test_damaged_exif_is_ignored(exif):
    data = saved(Image.fromarray(slopes()), "PNG", exif=b"Exif\0\0" + exif)
    assert np.array_equal(read(data).rgb, slopes())


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_an_alpha_channel_is_separate_from_rgb(mode, form):
    channels = [slopes()[..., i] for i in range(len(mode) - 1)]
    alpha = slopes()[..., 2] + 7
    picture = Image.fromarray(np.dstack([*channels, alpha]))
    frame = read(saved(picture, form, **({"lossless": True} if form == "WEBP" else {})))
    assert np.array_equal(frame.alpha, alpha)
    assert np.array_equal(frame.rgb, np.dstack(channels * (3 if mode == "LA" else 1)))


def test_opaque_alpha_is_dropped():
    opaque = np.dstack([slopes(), np.full(slopes().shape[:2], 255, np.uint8)])
    assert read(saved(Image.fromarray(opaque), "PNG")).alpha is None


@pytest.mark.parametrize("key", [3, bytes([255, 255, 255, 0])])
def test_palette_transparency_by_entry_and_by_table(key):
    indices = np.arange(24, dtype=np.uint8).reshape(4, 6)
    picture = Image.fromarray(indices)
    picture = picture.convert("P")
    picture.putpalette([x for i in range(256) for x in (i, 255 - i, i // 2)])
    frame = read(saved(picture, "PNG", transparency=key))
    assert np.array_equal(frame.alpha == 0, indices == 3)
    assert np.array_equal(frame.rgb[..., 1], 255 - indices)


@pytest.mark.parametrize(("mode", "key"), [("L", 60), ("RGB", (20, 60, 0))])
def test_a_key_colour_is_transparent(mode, key):
    picture = Image.fromarray(slopes() if mode == "RGB" else slopes()[..., 1])
    frame = read(saved(picture, "PNG", transparency=key))
    hidden = (slopes() == key).all(-1) if mode == "RGB" else slopes()[..., 1] == key
    assert hidden.any()
    assert np.array_equal(frame.alpha == 0, hidden)


def test_one_bit_pictures_are_black_and_white():
    bits = slopes()[..., 0] > 100
    for form, options in (("PNG", {}), ("TIFF", {"compression": "group4"}), ("BMP", {})):
        frame = read(saved(Image.fromarray(bits), form, **options))
        assert np.array_equal(frame.rgb, np.repeat(bits[..., None], 3, 2) * 255)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_to_eight_bits(form):
    deep = np.arange(0, 65536, 97, dtype=np.uint16).reshape(26, 26)
    frame = read(saved(Image.fromarray(deep), form))
    assert np.array_equal(frame.rgb, np.repeat(np.rint(deep / 257)[..., None], 3, 2))


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_in_colour(colour_type, channels):
    deep = np.random.default_rng(0).integers(0, 65536, (9, 11, channels), dtype=np.uint16)
    frame = read(png(deep, colour_type))
    colour = deep[..., :3] if channels > 2 else np.repeat(deep[..., :1], 3, 2)
    assert abs(frame.rgb - colour / 257).max() < 1
    assert (frame.alpha is None) == (channels == 3)
    if frame.alpha is not None:
        assert abs(frame.alpha - deep[..., -1] / 257).max() < 1


@pytest.mark.parametrize(
    ("depth", "colour_type", "clear"),
    [(16, 0, 1000), (16, 2, (1000, 2000, 3000)), (1, 0, 1), (2, 0, 1), (4, 0, 9), (8, 0, 77)],
)
def test_the_transparent_colour_of_a_png_is_found_at_every_depth(depth, colour_type, clear):
    shape = (6, 8, 3) if colour_type == 2 else (6, 8)
    values = np.zeros(shape, np.uint16)
    values[2:4, 2:4] = clear
    data = png(values, colour_type, depth, clear)
    if depth == 8:
        data = png(values.astype(np.uint8), colour_type, depth, clear)
    hole = np.full((6, 8), 255, np.uint8)
    hole[2:4, 2:4] = 0
    assert np.array_equal(read(data).alpha, hole)


@pytest.mark.parametrize("brightest", [1.3, 4.0, 300.0, 2e5])
def test_float_grey_above_the_usual_white_levels_is_scaled_to_its_maximum(brightest):
    grey = np.linspace(0, brightest, 60, dtype=np.float32).reshape(6, 10)
    want = np.linspace(0, 255, 60).reshape(6, 10)
    assert abs(read(saved(Image.fromarray(grey), "TIFF")).rgb[..., 0] - want).max() <= 0.51


def test_a_dark_float_picture_in_levels_up_to_255_stays_dark():
    grey = np.linspace(0, 60, 60, dtype=np.float32).reshape(6, 10)
    assert read(saved(Image.fromarray(grey), "TIFF")).rgb.max() == 60


def test_pages_of_a_tiff_are_counted_without_thumbnails():
    pages = [Image.fromarray(slopes() // n) for n in (1, 2, 3)]
    frame = read(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert frame.pages == 3
    assert np.array_equal(frame.rgb, slopes())
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}
    assert read(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:2])).pages == 1
    assert read(saved(pages[0], "TIFF")).pages == 1


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP"])
def test_the_resolution_is_read_and_rotated_with_the_picture(form):
    data = saved(Image.fromarray(slopes()), form, dpi=(300, 150))
    assert read(data).dpi == pytest.approx((300, 150), abs=0.5)
    assert read(saved(Image.fromarray(slopes()), "PNG")).dpi is None


@pytest.mark.parametrize("unit", [2, 3])
@pytest.mark.parametrize("form", ["JPEG", "WEBP", "AVIF"])
def test_the_resolution_of_exif_is_read(form, unit):
    exif = Image.Exif()
    # Pillow reads one value for both directions from the EXIF of JPEG.
    down = 100.0 if form == "JPEG" else 200.0
    exif[282], exif[283], exif[296], exif[274] = 100.0, down, unit, 6
    factor = 1 if unit == 2 else 2.54
    frame = read(saved(Image.fromarray(slopes()), form, exif=exif.tobytes()))
    assert frame.dpi == pytest.approx((down * factor, 100 * factor), abs=0.5)


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 9e5])
def test_the_white_level_of_float_and_integer_grey_is_detected(white):
    grey = np.linspace(0, white, 60, dtype=np.float32).reshape(6, 10)
    want = np.linspace(0, 255, 60).reshape(6, 10)
    assert abs(read(saved(Image.fromarray(grey), "TIFF")).rgb[..., 0] - want).max() <= 0.51
    if white > 1:
        whole = Image.fromarray(grey.astype(np.int32))
        assert abs(read(saved(whole, "TIFF")).rgb[..., 0] - want).max() <= 1.5


def test_nan_becomes_black():
    grey = np.array([[np.nan, np.inf, -np.inf, -3.0, 0.5, 1.0]], np.float32)
    assert read(saved(Image.fromarray(grey), "TIFF")).rgb[0, :, 0].tolist() == [
        0,
        0,
        0,
        0,
        128,
        255,
    ]


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    "icc", [None, fake_profile(b"CMYK"), profile(), b"rubbish"], ids=["none", "cmyk", "rgb", "no"]
)
def test_cmyk_becomes_rgb_and_its_profile_does_not_follow(form, icc):
    picture = Image.fromarray(slopes()).convert("CMYK")
    options = {"quality": 95} if form == "JPEG" else {}
    frame = read(saved(picture, form, icc_profile=icc, **options))
    assert frame.icc is None
    assert abs(frame.rgb.astype(int) - slopes()).max() <= 8


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_an_rgb_profile_stays_with_the_pixels(form):
    frame = read(saved(Image.fromarray(slopes()), form, icc_profile=profile()))
    assert frame.icc == profile()


@pytest.mark.parametrize(
    "icc", [b"rubbish", fake_profile(b"GRAY"), fake_profile(b"CMYK")], ids=["no", "grey", "cmyk"]
)
def test_a_profile_for_another_colour_space_is_dropped(icc):
    frame = read(saved(Image.fromarray(slopes()), "PNG", icc_profile=icc))
    assert frame.icc is None
    assert np.array_equal(frame.rgb, slopes())


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_broken_grey_profile_changes_nothing(mode):
    grey = Image.fromarray(slopes()[..., 0]).convert(mode)
    frame = read(saved(grey, "PNG", icc_profile=fake_profile(b"GRAY")))
    assert frame.icc is None
    assert np.array_equal(frame.rgb[..., 2], slopes()[..., 0])


def test_grey_is_read_with_its_own_profile():
    grey = Image.fromarray(np.array([[0, 55, 128, 255]], np.uint8))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    for picture in (grey, grey.convert("LA"), deep):
        frame = read(saved(picture, "PNG", icc_profile=linear_grey_profile()))
        assert frame.icc is None
        assert abs(frame.rgb[0, :, 0].astype(int) - [0, 128, 188, 255]).max() <= 2


def test_cmyk_is_read_with_its_own_profile():
    cyan = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    plain, grey = (
        read(saved(cyan, "TIFF", icc_profile=icc)).rgb[0, 0] for icc in (None, grey_ink_profile())
    )
    assert plain.tolist() == [0, 255, 255]
    assert np.ptp(grey.astype(int)) <= 3
    assert 100 < grey[0] < 220


def test_lab_is_converted_with_its_own_white_point():
    to_lab = ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(
        Image.fromarray(slopes()), ImageCms.createProfile("sRGB"), to_lab, outputMode="LAB"
    )
    frame = read(saved(lab, "TIFF"))
    assert abs(frame.rgb.astype(int) - slopes()).max() <= 12


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"])
def test_thin_pictures_are_accepted(form, size_hw):
    frame = read(saved(Image.fromarray(slopes(*size_hw)), form))
    assert frame.size_hw == size_hw


def test_an_animation_gives_its_first_frame():
    first, second = Image.fromarray(slopes()), Image.fromarray(255 - slopes())
    for form in ("PNG", "WEBP", "TIFF", "MPO"):
        options = {"lossless": True} if form == "WEBP" else {}
        data = saved(first, form, save_all=True, append_images=[second], **options)
        assert abs(read(data).rgb.astype(int) - slopes()).max() <= 12


def test_a_pipe_is_read_like_a_file():
    data = saved(Image.fromarray(slopes()), "PNG")
    frame = read_stream(io.BytesIO(data), name="stdin")
    assert (frame.name, frame.origin) == ("stdin", None)
    assert np.array_equal(frame.rgb, slopes())


def test_names_are_shown_on_one_printable_line():
    assert display_name("a\nb\x1b[31m.png") == r"a\nb\x1b[31m.png"
    assert display_name(os.fsdecode(b"caf\xe9.png")) == r"caf\udce9.png"
    assert display_name("猫 🐈.png") == "猫 🐈.png"


def test_pillow_limits_of_the_importing_program_are_neither_used_nor_changed(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.array_equal(read(saved(Image.fromarray(slopes()), "PNG")).rgb, slopes())
    assert Image.MAX_IMAGE_PIXELS == 10


def test_errors_name_the_picture_not_the_bytes():
    with pytest.raises(SourceError, match=r"^upload\\n1: empty file$"):
        decode_picture(b"", name="upload\n1")
