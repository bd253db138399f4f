"""Short runs; ``python -m tests.torture.soak`` makes long ones."""

import sys

import pytest

from tests.torture import LONG
from tests.torture.soak import RUNS, Use, judge

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]


SHORT = {"pictures": 120, "frames": 1500, "live": 100, "calls": 300}  # short ones grow more
COUNTS = {"pictures": 5000, "frames": 10_000, "live": 500, "calls": 2000} if LONG else SHORT


@pytest.mark.parametrize("what", RUNS)
def test_memory_files_and_threads_stay_flat(what, tmp_path):
    found = RUNS[what](tmp_path, COUNTS[what])
    # In a short run some early samples are of its start; a leak of each item is more than 30.
    assert found.flat() if LONG else found.flat(1.3, more=30), found


def test_growth_is_detected():
    held = [Use(10.0, 3, 1)] * 20 + [Use(500.0 + number, 3, 1) for number in range(200)]
    assert not judge("x", held, 1).flat()
    assert judge("x", [Use(10.0, 3, 1)] * 20 + [Use(500.0, 3, 1)] * 200, 1).flat()
    assert not judge("x", [Use(500.0, 3 + number, 1) for number in range(200)], 1).flat()
    assert not judge("x", [Use(500.0, 3, 1 + number) for number in range(200)], 1).flat()
