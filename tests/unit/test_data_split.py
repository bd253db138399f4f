"""The held-out share consists of runs of neighbours, from every set."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodcli.data.pairs import Pair, hold_out
from sodcli.errors import UsageError


def pairs_of(*counts: int) -> list[Pair]:
    return [
        Pair(
            Path(f"set{number}/images/{index}.jpg"), Path(f"set{number}/masks/{index}.png"), "data"
        )
        for number, count in enumerate(counts)
        for index in range(count)
    ]


@given(st.lists(st.integers(1, 200), max_size=4), st.floats(0, 0.99), st.integers(0, 2**31))
def test_the_split_is_a_partition_and_no_set_becomes_empty(counts, share, seed) -> None:
    pairs = pairs_of(*counts)
    train, held = hold_out(pairs, share, seed)
    inside = set(held)
    assert list(train) == [pair for pair in pairs if pair not in inside]
    assert list(held) == [pair for pair in pairs if pair in inside]
    for number, count in enumerate(counts):
        own = [pair for pair in held if pair.image.parts[0] == f"set{number}"]
        assert len(own) < count
        assert bool(own) == (share > 0 and count > 1)


def test_the_held_out_share_consists_of_runs() -> None:
    pairs = pairs_of(1267)
    _, held = hold_out(pairs, 0.1, 0)
    places = [pairs.index(pair) for pair in held]
    runs = 1 + sum(right - left > 1 for left, right in pairwise(places))
    assert 115 <= len(held) <= 140
    assert 3 <= runs <= 8


def test_the_split_depends_on_the_seed_and_not_on_other_sets() -> None:
    alone, both = pairs_of(100), pairs_of(100, 60)
    assert hold_out(alone, 0.1, 1) == hold_out(alone, 0.1, 1)
    assert hold_out(alone, 0.1, 1) != hold_out(alone, 0.1, 2)
    assert set(hold_out(alone, 0.1, 1)[1]) <= set(hold_out(both, 0.1, 1)[1])


def test_a_picture_that_occurs_twice_is_on_one_side() -> None:
    pairs = pairs_of(100)
    train, held = hold_out(pairs, 0.1, 0)
    assert hold_out(pairs * 2, 0.1, 0) == (train * 2, held)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="share to hold out"):
        hold_out(pairs_of(3), share, 0)
