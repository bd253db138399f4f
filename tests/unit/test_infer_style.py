"""The background of the subject, from the value of ``--type``."""

import numpy as np
import pytest
from PIL import Image

from sodcli.io.settings import choose_style
from tests.colour_kit import p3_in_srgb, p3_profile
from tests.film_kit import render


def behind(path):
    style = choose_style(str(path), refine=False, max_pixels=10**6)
    assert not style.alpha
    return style.look.background.astype(int)


@pytest.mark.parametrize(("alpha", "rgb"), [(0, (255, 255, 255)), (128, (255, 127, 255))])
def test_transparent_pixels_of_a_background_picture_are_white(tmp_path, alpha, rgb):
    Image.new("RGBA", (9, 9), (255, 0, 255, alpha)).save(tmp_path / "back.png")
    assert (behind(tmp_path / "back.png") == rgb).all()


def test_transparent_pixels_of_the_first_frame_of_a_background_film_are_white(tmp_path):
    hole = "format=rgba,geq=r=255:g=0:b=255:a='if(lt(X,32),0,255)'"
    film = render(tmp_path / "back.mov", "-vf", hole, "-pix_fmt", "argb", "-c:v", "qtrle",
                  seconds=0.2)  # fmt: skip
    assert (behind(film)[:, :32] == 255).all()
    assert (behind(film)[:, 32:] == (255, 0, 255)).all()


def test_a_background_is_converted_to_srgb(tmp_path):
    colour = (200, 60, 40)
    Image.new("RGB", (9, 9), colour).save(tmp_path / "back.png", icc_profile=p3_profile())
    assert np.abs(behind(tmp_path / "back.png") - p3_in_srgb(colour)).max() <= 1


@pytest.mark.parametrize(("kind", "alpha"), [("rgba", True), ("map", False), ("white", False)])
def test_the_type_says_whether_there_is_transparency(kind, alpha):
    assert choose_style(kind, refine=False, max_pixels=1).alpha is alpha
