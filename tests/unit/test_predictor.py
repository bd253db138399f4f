"""Inputs of the Python API, with a network that returns the red channel."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import sodcli
from sodcli.errors import SourceError, UsageError
from tests.conftest import rare
from tests.draw_kit import draw_photo
from tests.film_kit import echo_predictor, render


@pytest.fixture
def predictor(registry):
    return echo_predictor(registry)


@pytest.mark.parametrize(
    ("mode", "way"),
    [("HSV", ["RGB"]), ("RGBX", ["RGB"]), ("RGBa", ["RGBA"]), ("La", ["L", "LA"]),
     ("PA", ["P"]), ("YCbCr", ["RGB"]), ("F", ["L"]), ("I", ["L"])],
)  # fmt: skip
def test_every_mode_of_pillow_gives_the_map_of_its_colours(predictor, mode, way):
    image = Image.fromarray(draw_photo(1, (60, 80))[0])
    for step in way:
        image = image.convert(step)
    saliency = predictor(image.convert(mode))
    assert saliency.shape == (60, 80)
    assert np.abs(saliency - predictor(image.convert("RGB"))).max() < 0.03


@pytest.mark.parametrize("mode", ["RGBa", "La", "PA"])
def test_transparency_counts_in_every_mode_that_has_it(predictor, mode):
    image = Image.new("LA" if mode == "La" else "RGBA", (40, 30), "white")
    image.putalpha(Image.new("L", (40, 30)))
    assert not predictor(image.convert(mode) if mode != "PA" else _palette()).any()


def _palette():
    image = Image.new("PA", (40, 30))
    image.putpalette([255] * 768)
    return image


@pytest.mark.parametrize(
    "image", [Image.new("I;16L", (9, 9)), Image.new("RGB", (0, 9)), Image.new("L", (9, 0))]
)
def test_images_that_pillow_cannot_write_are_type_errors(predictor, image):
    with pytest.raises(TypeError, match=rf"PIL.Image {image.mode} .*cannot write"):
        predictor(image)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_truncated_picture_that_pillow_opened_cannot_be_read(predictor, form):
    file = io.BytesIO()
    Image.fromarray(draw_photo(0, (200, 200))[0]).save(file, form)
    cut = file.getvalue()[: file.tell() // 2]
    with Image.open(io.BytesIO(cut)) as image, pytest.raises(SourceError, match="truncated"):
        predictor(image)


RGB = draw_photo(3, (40, 30))[0]


def as_file(rgb, form="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, form)
    return buffer


@pytest.mark.parametrize(
    "image",
    [
        as_file(RGB).getvalue(),
        bytearray(as_file(RGB).getvalue()),
        io.BytesIO(as_file(RGB).getvalue()),
        Image.fromarray(RGB),
        np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)]),
        RGB.astype(np.uint16) * 257,
        RGB / np.float32(255),
        RGB.astype(np.float64) / 255,
        torch.from_numpy(RGB).permute(2, 0, 1),
        torch.from_numpy(RGB).permute(2, 0, 1) / 255,
        torch.from_numpy(RGB).permute(2, 0, 1).double().div(255).requires_grad_(),
    ],
    ids=lambda image: f"{type(image).__name__} {getattr(image, 'dtype', '')}",
)
def test_every_kind_of_input_gives_the_same_map(predictor, image):
    assert np.abs(predictor(image) - predictor(RGB)).max() < 1e-6


def test_grey_pictures_are_grey_in_every_shape(predictor):
    grey = RGB[..., 0]
    expected = predictor(np.dstack([grey] * 3))
    for image in (grey, grey[..., None], Image.fromarray(grey), torch.from_numpy(grey)[None]):
        assert np.array_equal(predictor(image), expected)
    half = torch.from_numpy(grey / np.float32(255)).bfloat16()
    assert np.abs(predictor(half) - expected).max() < 0.01


def test_transparent_pixels_of_an_array_are_never_salient(predictor):
    image = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    assert not predictor(image).any()


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ([], "not list"),
        (None, "not NoneType"),
        (io.StringIO("text"), "open it in mode 'rb'"),
        (RGB * 1.0, r"must lie in \[0, 1\], not"),
        (np.full((4, 4), np.nan, np.float32), r"must lie in \[0, 1\]"),
        (-(RGB / np.float32(255)), r"must lie in \[0, 1\]"),
        (RGB.astype(np.int32), "uint8, uint16 or float, not int32"),
        (RGB[:0], "need an array"),
        (RGB[..., :2], "need an array"),
        (torch.zeros(2, 8, 8), "1, 3 or 4 channels"),
        (torch.zeros(1, 3, 8, 8), "need an array"),
        (torch.zeros(3, 8, 8, device="meta"), "meta tensor"),
        (torch.zeros(3, 8, 8).to_sparse(), "Sparse"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_other_inputs_are_type_errors_that_name_the_argument(predictor, image, text):
    with pytest.raises(TypeError, match=f"^image: .*{text}"):
        predictor(image)


def test_a_closed_file_cannot_be_read(predictor):
    file = as_file(RGB)
    file.close()
    with pytest.raises(SourceError, match="image: the file is closed"):
        predictor(file)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 1, 3)])
def test_the_smallest_pictures_have_maps_of_their_size(predictor, shape):
    assert predictor(np.full(shape, 200, np.uint8)).shape == shape[:2]


def test_pictures_come_in_order_and_a_failing_one_does_not_stop_the_others(predictor, tmp_path):
    (tmp_path / "broken.png").write_bytes(as_file(RGB).getvalue()[:50])
    images = [draw_photo(n, (20 + n, 30))[0] for n in range(64)]
    images[40] = tmp_path / "broken.png"
    answers = list(predictor.many(iter(images), errors="yield"))
    assert isinstance(answers.pop(40), SourceError)
    del images[40]
    for image, answer in zip(images, answers, strict=True):
        assert np.abs(predictor(image) - answer).max() < 1e-6
    with pytest.raises(SourceError, match=r"broken\.png"):
        list(predictor.many([RGB, tmp_path / "broken.png"]))
    assert list(predictor.many([])) == []


@pytest.mark.parametrize("threshold", [None, *rare(0.3)])
@pytest.mark.parametrize(
    "kind", ["rgba", "map", *rare("blur", "green", "overlay", "reverse", "white", "#204060")]
)
def test_a_cut_out_equals_the_file_of_sod_infer(sod, tmp_path, kind, threshold):
    photo, target = tmp_path / "photo.png", tmp_path / "out.png"
    photo.write_bytes(as_file(draw_photo(4, (90, 120))[0]).getvalue())
    hard = () if threshold is None else ("--threshold", threshold)
    result = sod("infer", photo, "-t", kind, "-o", target, "--size", 64, *hard)
    assert result.exit_code == 0, result.stderr
    with Image.open(target) as image:
        written = np.asarray(image)
    pixels = sodcli.load(size=64, pictures=1).cut_out(photo, kind, threshold=threshold)
    assert pixels.shape == written.shape
    assert np.abs(pixels.astype(int) - written).max() <= 1


def test_a_cut_out_over_a_picture_and_with_a_hard_edge(predictor):
    over = predictor.cut_out(RGB, background=np.zeros((5, 5, 3), np.uint8), refine=False)
    assert over.shape == RGB.shape
    assert set(np.unique(predictor.cut_out(RGB, "map", threshold=0.5))) == {0, 255}
    with pytest.raises(UsageError, match="Did you mean 'overlay'"):
        predictor.cut_out(RGB, "overlai")
    with pytest.raises(UsageError, match="threshold must be from 0 to 1, not 128"):
        predictor.cut_out(RGB, threshold=128)


def test_the_frames_of_a_film_come_with_their_saliency(predictor, tmp_path):
    film = render(tmp_path / "film.mp4", seconds=0.4)
    frames = list(predictor.film(film, frames=5))
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert all(frame.saliency.shape == frame.rgb.shape[:2] for frame in frames)
    with pytest.raises(SourceError, match="no such file"):
        list(predictor.film(tmp_path / "none.mp4"))
