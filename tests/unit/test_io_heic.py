"""HEIC photos, with pillow-heif and without it."""

from io import BytesIO

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image

from sodcli.errors import SourceError
from sodcli.io.pictures import heic
from sodcli.io.pictures.read import decode_picture
from sodcli.io.sources import find_inputs
from tests.draw_kit import draw_photo


def photo(alpha=None, **more):
    """Return a HEIC file and its picture."""
    drawn = Image.fromarray(draw_photo(size_hw=(96, 128))[0])
    if alpha is not None:
        drawn.putalpha(Image.fromarray(alpha))
    file = BytesIO()
    pillow_heif.from_pillow(drawn).save(file, quality=90, **more)
    return file.getvalue(), np.asarray(drawn)


@pytest.fixture
def without_package(monkeypatch):
    monkeypatch.setattr(heic, "find_spec", lambda name: None)


def test_a_photo_is_read():
    data, drawn = photo()
    frame = decode_picture(data, name="x")
    assert frame.rgb.shape == (96, 128, 3)
    assert np.abs(frame.rgb.astype(int) - drawn).mean() < 5


def test_a_heic_is_rotated_upright_once():
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    data, drawn = photo(exif=turned.tobytes())
    frame = decode_picture(data, name="x")
    assert np.abs(frame.rgb.astype(int) - np.rot90(drawn, -1)).mean() < 5


def test_transparency_is_kept():
    alpha = np.tile(np.linspace(0, 255, 128).astype(np.uint8), (96, 1))
    data, _ = photo(alpha=alpha)
    found = decode_picture(data, name="x").alpha
    assert np.abs(found.astype(int) - alpha).mean() < 5


def test_too_many_pixels_and_damage_are_reported():
    data, _ = photo()
    with pytest.raises(SourceError, match=r"^x: 128x96 is more than 100 pixels"):
        decode_picture(data, name="x", max_pixels=100)
    for cut in (len(data) // 3, len(data) // 2, len(data) - 20):
        with pytest.raises(SourceError, match=r"^x: truncated or corrupt$"):
            decode_picture(data[:cut], name="x")


def test_heic_files_in_a_folder_are_pictures(tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(photo()[0])
    (found,) = find_inputs([str(tmp_path)], recursive=False)
    assert found.kind == "picture"


def test_without_the_package_the_error_names_it(tmp_path, without_package):
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(photo()[0])
    with pytest.raises(SourceError, match=r"without pillow-heif; run: pip install pillow-heif"):
        decode_picture(path.read_bytes(), name="x")
    with pytest.raises(SourceError, match=r"\.heic \(1\); .*, or run: pip install pillow-heif$"):
        find_inputs([str(tmp_path)], recursive=False)
