import numpy as np
import pytest

from sodcli.frame import Frame
from sodcli.io.pictures.colour import in_srgb
from tests.colour_kit import p3_in_srgb, p3_profile, srgb_profile


def colours():
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def test_display_p3_is_converted_to_srgb_as_css_defines():
    holes = np.full((40, 50), 9, np.uint8)
    frame = in_srgb(Frame(colours(), 3, "x", alpha=holes, icc=p3_profile()))
    assert np.abs(frame.rgb - p3_in_srgb(colours())).max() <= 2
    assert (frame.index, frame.name, frame.icc) == (3, "x", None)
    assert frame.alpha is holes


# With names, because the bytes contain the second in which a test process made them.
@pytest.mark.parametrize(
    "icc", [None, srgb_profile(), p3_profile()[:200], b"rubbish"], ids=["none", "srgb", "cut", "no"]
)
def test_srgb_and_unusable_profiles_change_nothing(icc):
    frame = in_srgb(Frame(colours(), 0, "x", icc=icc))
    assert np.array_equal(frame.rgb, colours())
    assert frame.icc is None
