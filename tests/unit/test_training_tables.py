import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodcli.errors import UsageError
from sodcli.tables import merge, read_table, to_toml


@dataclass(frozen=True)
class Inner:
    match: str = ""
    lr: float = 1.0


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 1
    on: bool = False
    kind: Literal["a", "b"] = "a"
    pair: tuple[float, float] = (0.0, 1.0)
    groups: tuple[Inner, ...] = ()
    inner: Inner = Inner()
    extra: Mapping[str, Any] = field(default_factory=dict)


def test_nested_tables_become_dataclasses_and_whole_numbers_floats():
    table = {
        "name": "x",
        "pair": [1, 2],
        "groups": [{"match": "bn", "lr": 2}],
        "inner": {"lr": 3},
        "extra": {"depth": [1]},
    }
    outer = read_table(Outer, table, "here")
    assert outer.pair == (1.0, 2.0)
    assert isinstance(outer.pair[0], float)
    assert outer.groups == (Inner("bn", 2.0),)
    assert outer.inner == Inner("", 3.0)
    assert outer.extra == {"depth": [1]}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"nme": "x"}, "here: unknown key 'nme'. Did you mean 'name'?"),
        ({}, "here: 'name' is missing"),
        ({"name": 3}, "here.name: 3 is not text"),
        ({"name": "x", "count": 1.5}, "here.count: 1.5 is not a whole number"),
        ({"name": "x", "count": True}, "here.count: True is not a whole number"),
        ({"name": "x", "on": 1}, "here.on: 1 is not true or false"),
        ({"name": "x", "kind": "c"}, "here.kind: 'c' is not one of a, b"),
        ({"name": "x", "pair": [1]}, "here.pair: 2 values are needed, not 1"),
        ({"name": "x", "pair": 1}, "here.pair: 1 is not a list"),
        ({"name": "x", "inner": {"rl": 1}}, "here.inner: unknown key 'rl'"),
        ({"name": "x", "groups": [{"lr": "1"}]}, "here.groups.lr: '1' is not a number"),
        ({"name": "x", "extra": []}, "here.extra: [] is not a table"),
        ({"name": "x", "inner": 1}, "here.inner: 1 is not a table"),
    ],
)
def test_wrong_tables_are_refused_by_name(table, message):
    with pytest.raises(UsageError) as caught:
        read_table(Outer, table, "here")
    assert str(caught.value).startswith(message)


def test_merge_goes_deep_unless_the_name_changes():
    below = {"lr": 1, "schedule": {"name": "poly", "power": 2}, "augment": {"flip_lr": 0.5}}
    above = {"schedule": {"name": "cosine"}, "augment": {"rotate": 10}}
    assert merge(below, above) == {
        "lr": 1,
        "schedule": {"name": "cosine"},
        "augment": {"flip_lr": 0.5, "rotate": 10},
    }
    assert merge(below, {"schedule": {"power": 3}})["schedule"] == {"name": "poly", "power": 3}
    assert below["schedule"] == {"name": "poly", "power": 2}


_keys = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_plain = st.one_of(
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs", "Cc"))),
)
_values = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(_keys, _values, max_size=5))
def test_toml_reads_back_equal(table):
    assert tomllib.loads(to_toml(table)) == table
