"""Standard input is split by its bytes: one picture, several, or a film."""

import io

import pytest
from PIL import Image

from sodcli.errors import SourceError
from sodcli.io.pipe import Pipe
from tests.conftest import rare
from tests.film_kit import ffmpeg, paused_picture, render

FORMATS = [
    ("PNG", "png", "rgb24"),
    ("PNG", "png", "rgba"),
    ("PPM", "ppm", "rgb24"),
    ("PPM", "pgm", "gray"),
    ("PPM", "pgm", "gray16be"),
    ("PPM", "pbm", "monow"),
    ("JPEG", "mjpeg", "yuvj420p"),
    ("BMP", "bmp", "bgr24"),
]


def piped(encoder, pixels, count=12):
    """Return the bytes of ``count`` pictures as ffmpeg writes them to a pipe."""
    words = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=68x46:r=25,crop=67:45:0:0:exact=1",
        "-frames:v",
        count,
    ]
    return ffmpeg(*words, "-f", "image2pipe", "-c:v", encoder, "-pix_fmt", pixels, "-")


class Trickle(io.BytesIO):
    """A pipe that returns few bytes at a time."""

    def read1(self, size=-1):
        return super().read1(7)


@pytest.mark.parametrize("kind", [Trickle, *rare(io.BytesIO)])
@pytest.mark.parametrize(("form", "encoder", "pixels"), FORMATS)
def test_concatenated_pictures_are_all_found(form, encoder, pixels, kind):
    data = piped(encoder, pixels)
    pipe = Pipe(kind(data))
    assert (pipe.kind(), pipe.several) == ("film", True)
    found = list(pipe.pictures())
    assert (len(found), b"".join(found)) == (12, data)
    shown = [Image.open(io.BytesIO(one)) for one in found]
    assert {(one.format, one.size) for one in shown} == {(form, (67, 45))}
    assert len(set(found)) > 1


def test_pictures_of_several_kinds_and_sizes():
    pair = [piped("png", "rgb24", 1), piped("mjpeg", "yuvj420p", 1), piped("ppm", "rgb24", 1)]
    pipe = Pipe(io.BytesIO(b"".join(pair)))
    assert pipe.kind() == "film"
    assert list(pipe.pictures()) == pair


def with_previews(jpeg):
    """Return a JPEG with embedded previews, as phones write them."""
    index = b"MPF\0" + bytes(40)
    return jpeg[:2] + b"\xff\xe2" + (len(index) + 2).to_bytes(2, "big") + index + jpeg[2:]


@pytest.mark.parametrize("case", ["alone", "motion photo", "gain map", "comment", "tiff"])
def test_a_single_picture_is_not_split(case):
    jpeg, extra = piped("mjpeg", "yuvj420p", 1), b""
    if case == "motion photo":
        extra = b"\0\0\0\x18ftypmp42" + bytes(300)
    elif case == "gain map":
        jpeg, extra = with_previews(jpeg), jpeg
    elif case == "comment":
        jpeg = piped("ppm", "rgb24", 1).replace(b"P6\n", b"P6\n# 1 2 3\n", 1)
    elif case == "tiff":
        file = io.BytesIO()
        Image.new("RGB", (9, 9), "red").save(file, "TIFF")
        jpeg = file.getvalue()
    pipe = Pipe(io.BytesIO(jpeg + extra))
    assert (pipe.kind(), pipe.several) == ("picture", False)
    (found,) = pipe.pictures()
    assert found in (jpeg, jpeg + extra)


NAMES = ("mp4", "mkv", "avi", "ts", "nut", "y4m", "mpg", "gif", "webp", "apng")


@pytest.mark.parametrize("name", [f"a.{suffix}" for suffix in NAMES])
def test_films_are_recognised_by_their_bytes(tmp_path, name):
    words = ["-f", "apng"] if name == "a.apng" else []
    data = render(tmp_path / name, *words, seconds=0.4).read_bytes()
    pipe = Pipe(io.BytesIO(data))
    assert (pipe.kind(), pipe.several) == ("film", False)
    pipe.save_film(tmp_path)
    assert pipe.film.read_bytes() == data


@pytest.mark.parametrize("form", ["gif", "webp"])
def test_a_still_picture_of_a_format_that_can_move(form):
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, form)
    assert Pipe(io.BytesIO(file.getvalue())).kind() == "picture"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "stdin: empty file"),
        (b"GIF8", "stdin: not a picture"),
        (b"no picture at all, but a long line of text that goes on and on", "stdin: not a picture"),
    ],
)
def test_bytes_that_are_not_a_picture_are_reported_when_read(data, message):
    pipe = Pipe(io.BytesIO(data))
    assert pipe.kind() == "picture"
    with pytest.raises(SourceError, match=message):
        list(pipe.pictures())


@pytest.mark.parametrize(("form", "encoder", "pixels"), FORMATS)
def test_a_truncated_series_of_pictures_ends(form, encoder, pixels):
    data = piped(encoder, pixels, 2)
    for end in range(9, len(data), 61):
        pipe = Pipe(io.BytesIO(data[:end]))
        pipe.kind()
        assert b"".join(pipe.pictures()) == data[:end]


def test_a_film_that_cannot_be_stored_is_reported(tmp_path):
    pipe = Pipe(io.BytesIO(render(tmp_path / "a.mkv", seconds=0.2).read_bytes()))
    pipe.kind()
    with pytest.raises(SourceError, match=r"stdin: copying it to .*: No such file"):
        pipe.save_film(tmp_path / "none")


def test_animated_gif(tmp_path):
    data = paused_picture(tmp_path / "a.gif").read_bytes()
    assert Pipe(io.BytesIO(data)).kind() == "film"
