"""Every fault of a file is reported in one line that begins with its name."""

import io
import os
import random
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sodcli.errors import SourceError
from sodcli.io.pictures import read as pictures
from sodcli.io.pictures.read import decode_picture, read_picture, read_stream

FORMS = {
    "png": ("PNG", {}),
    "jpg": ("JPEG", {}),
    "progressive.jpg": ("JPEG", {"progressive": True}),
    "webp": ("WEBP", {}),
    "lossless.webp": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {}),
    "tif": ("TIFF", {}),
    "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
    "ppm": ("PPM", {}),
}


def whole(name):
    form, options = FORMS[name]
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a maker"
    file = io.BytesIO()
    allowed = {"exif": exif} if form in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF") else {}
    Image.fromarray(rgb).save(file, form, **options, **allowed)
    return file.getvalue()


def fails(path, **kwargs):
    with pytest.raises(SourceError) as caught:
        read_picture(path, **kwargs)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", FORMS)
def test_a_file_cut_short_anywhere_is_refused(tmp_path, name):
    data = whole(name)
    path = tmp_path / f"x.{name}"
    for length in (*range(1, 60, 7), *np.linspace(60, 0.9 * len(data), 12).astype(int)):
        path.write_bytes(data[:length])
        reason = fails(path)
        assert reason.startswith(("truncated or corrupt", "not a picture sod can read"))


@pytest.mark.parametrize("name", FORMS)
def test_damage_gives_a_picture_or_an_error_of_one_line(name):
    """Only SourceError is raised, and no warning (warnings are errors in tests)."""
    data, dice = whole(name), random.Random(name)
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(dice.choice((1, 2, 9))):
            at = dice.randrange(min(len(data), dice.choice((60, 400, len(data)))))
            damaged[at] = dice.choice((0, 255, 128, dice.randrange(256)))
        try:
            assert decode_picture(bytes(damaged), name=name, max_pixels=10**6).rgb.ndim == 3
        except SourceError:
            refused += 1
    assert refused


def test_sixteen_bit_planar_tiffs_are_refused():
    width, height = 5, 4
    entries = [(256, width), (257, height), (259, 1), (262, 2), (277, 3), (278, height), (284, 2)]
    values = {tag: struct.pack("<HHII", tag, 3, 1, value) for tag, value in entries}
    after, plane = 8 + 2 + 10 * 12 + 4, 2 * width * height
    values[258] = struct.pack("<HHII", 258, 3, 3, after)
    values[273] = struct.pack("<HHII", 273, 4, 3, after + 6)
    values[279] = struct.pack("<HHII", 279, 4, 3, after + 18)
    directory = struct.pack("<H", 10) + b"".join(values[tag] for tag in sorted(values)) + bytes(4)
    starts = [after + 30 + i * plane for i in range(3)]
    tail = struct.pack("<3H3I3I", 16, 16, 16, *starts, plane, plane, plane)
    data = b"II*\0\x08\0\0\0" + directory + tail + bytes(range(3 * plane))
    assert Image.open(io.BytesIO(data)).size == (width, height)
    with pytest.raises(SourceError, match="a kind of TIFF sod cannot read"):
        decode_picture(data, name="x")


def test_a_bad_apng_header_only_costs_the_animation():
    def chunk(tag, body):
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    data = whole("png")
    again = data[:33] + chunk(b"acTL", bytes(8)) + data[33:]
    assert np.array_equal(decode_picture(again, name="x").rgb, decode_picture(data, name="x").rgb)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"hello, this is no picture", "not a picture sod can read (PNG, JPEG, WebP, AVIF, TIFF, "),
        (b"%PDF-1.7\n", "not a picture"),
        (b"\0" * 5000, "not a picture"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "not a picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "truncated or corrupt"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "truncated or corrupt, or a kind of TIFF"),
    ],
)
def test_files_that_are_not_pictures_are_named(tmp_path, content, reason):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    assert fails(path).startswith(reason)


def test_missing_files_folders_and_broken_links_are_named(tmp_path):
    assert fails(tmp_path / "no.png") == "no such file"
    assert fails(tmp_path) == "is a folder"
    assert fails(tmp_path / ("n" * 300)) == "file name too long"
    if os.name != "nt":
        (tmp_path / "link.png").symlink_to("nowhere")
        assert fails(tmp_path / "link.png") == "no such file"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_a_fifo_or_device_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert fails(tmp_path / "pipe.png") == "not a regular file"
    assert fails(Path("/dev/zero")) == "not a regular file"


@pytest.mark.skipif(
    os.name == "nt" or getattr(os, "geteuid", lambda: 0)() == 0, reason="this user may read all"
)
def test_a_file_without_read_permission_is_named(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(whole("png"))
    path.chmod(0)
    assert fails(path) == "permission denied"


@pytest.mark.parametrize("name", FORMS)
def test_too_many_pixels_are_refused_by_the_header(tmp_path, name):
    path = tmp_path / "x.bin"
    path.write_bytes(whole(name))
    line = fails(path, max_pixels=1999)
    assert "is more than 1999 pixels" in line
    assert "--max-pixels" in line
    assert read_picture(path, max_pixels=2000).rgb.size == 6000


def test_a_decompression_bomb_is_never_decoded():
    """A PNG of a few bytes that claims 40 gigapixels."""
    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
        for tag, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b""))
    )
    with pytest.raises(SourceError, match=r"bomb: 200000x200000 is more .* raise --max-pixels"):
        decode_picture(data, name="bomb")


def test_pillows_own_limit_is_one_line_too(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(SourceError, match=r"^w: more pixels than --max-pixels"):
        decode_picture(whole("webp"), name="w")


def test_too_little_memory_is_reported(monkeypatch):
    def no_memory(image, points):
        raise MemoryError

    monkeypatch.setattr("sodcli.io.pictures.decode.to_raster", no_memory)
    with pytest.raises(SourceError, match=r"^x: not enough memory"):
        decode_picture(whole("png"), name="x")


def test_only_the_header_of_an_endless_stream_is_read():
    class Endless(io.RawIOBase):
        given = 0

        def read(self, count=-1):
            assert count >= 0
            self.given += count
            return bytes(count)

    stream = Endless()
    with pytest.raises(SourceError, match=r"^stdin: not a picture"):
        read_stream(stream, name="stdin")
    assert stream.given < 1000


def test_a_file_has_a_largest_size(monkeypatch, tmp_path):
    monkeypatch.setattr(pictures, "MAX_BYTES", 2**20)
    path = tmp_path / "x.png"
    path.write_bytes(whole("png") + bytes(2**20))
    assert fails(path) == "larger than 1 MiB"


def test_nothing_is_written_to_the_terminal(capfd):
    for length in range(50, 400, 50):
        with pytest.raises(SourceError):
            decode_picture(whole("png")[:length], name="x")
    sys.stderr.flush()
    assert capfd.readouterr() == ("", "")
