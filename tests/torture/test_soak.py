"""Short runs; ``python -m tests.torture.soak`` makes long ones."""

import sys

import pytest

from tests.torture import LONG
from tests.torture.soak import ALLOWED, judge, soak_film, soak_pictures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]


def test_memory_stays_flat_over_pictures(tmp_path):
    found = soak_pictures(tmp_path, 5000 if LONG else 120)
    assert found.growth <= (ALLOWED if LONG else 1.3), found


def test_memory_stays_flat_over_a_film(tmp_path):
    # Enough frames that the end, when a second ffmpeg runs, is a small part.
    found = soak_film(tmp_path, 10_000 if LONG else 1500)
    assert found.growth <= (ALLOWED if LONG else 1.3), found


def test_growth_is_detected():
    held = [10.0] * 20 + [500.0 + number for number in range(200)]
    assert judge("x", held, 1).growth > ALLOWED
    assert judge("x", [10.0] * 20 + [500.0] * 200, 1).growth == 1
