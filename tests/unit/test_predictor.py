"""What the Python API takes, with a network that answers how red each pixel is."""

import io

import numpy as np
import pytest
from PIL import Image

from sodcli.errors import SourceError
from tests.conftest import draw_photo
from tests.film_kit import echo_predictor


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
def test_a_picture_that_pillow_cannot_write_is_of_the_wrong_type(predictor, image):
    with pytest.raises(TypeError, match=rf"PIL.Image {image.mode} .*cannot write"):
        predictor(image)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_truncated_picture_that_pillow_opened_cannot_be_read(predictor, form):
    file = io.BytesIO()
    Image.fromarray(draw_photo(0, (200, 200))[0]).save(file, form)
    cut = file.getvalue()[: file.tell() // 2]
    with Image.open(io.BytesIO(cut)) as image, pytest.raises(SourceError, match="truncated"):
        predictor(image)
