import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodcli.errors import UsageError
from sodcli.tables import Length, Pattern, Range, check_fields, merge, read_table, to_toml


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
    share: Annotated[float, Range(least=0, below=1)] = 0.0
    span: Annotated[tuple[int, int], Range(least=0, most=9, rising=True)] = (0, 9)
    some: Annotated[tuple[str, ...], Length(1, "name a folder")] = ("a",)
    file: Annotated[str | None, Pattern(r"[^/]+", "be a bare name")] = None


def test_nested_tables_become_dataclasses_and_integers_floats():
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
        ({}, "here: needs the key 'name'"),
        ({"name": 3}, "here: name must be a string, not 3"),
        ({"name": "x", "count": 1.5}, "here: count must be a whole number, not 1.5"),
        ({"name": "x", "count": True}, "here: count must be a whole number, not True"),
        ({"name": "x", "on": 1}, "here: on must be true or false, not 1"),
        ({"name": "x", "kind": "c"}, "here: kind must be one of a, b, not 'c'"),
        ({"name": "x", "pair": [1]}, "here: pair must be a list of 2 numbers, not [1]"),
        ({"name": "x", "pair": 1}, "here: pair must be a list of 2 numbers, not 1"),
        (
            {"name": "x", "inner": {"rl": 1}},
            "here: unknown key 'inner.rl'. Known: lr, match.",
        ),
        ({"name": "x", "groups": [{"lr": "1"}]}, "here: groups.lr must be a number, not '1'"),
        ({"name": "x", "extra": []}, "here: extra must be a table, not []"),
        ({"name": "x", "inner": 1}, "here: inner must be a table, not 1"),
        ({"name": "x", "groups": [1]}, "here: groups must be a table, not 1"),
        ({"name": "x", "share": 1}, "here: share must be at least 0 and below 1, not 1"),
        ({"name": "x", "share": math.nan}, "here: share must be at least 0 and below 1, not nan"),
        ({"name": "x", "span": [2, 1]}, "here: span must be from 0 to 9, the smaller first, not"),
        ({"name": "x", "span": [1, 10]}, "here: span must be from 0 to 9, the smaller first, not"),
        ({"name": "x", "some": []}, "here: some must name a folder, not []"),
        ({"name": "x", "file": "a/b"}, "here: file must be a bare name, not 'a/b'"),
        ({"name": "x", "file": 1}, "here: file must be a string, not 1"),
    ],
)
def test_wrong_tables_are_refused_by_name(table, message):
    with pytest.raises(UsageError) as caught:
        read_table(Outer, table, "here")
    assert str(caught.value).startswith(message)


def test_fields_set_by_the_caller_are_not_keys():
    assert read_table(Outer, {"count": 2}, name="x") == Outer("x", 2)
    with pytest.raises(UsageError, match=r"^unknown key 'name'\."):
        read_table(Outer, {"name": "y"}, name="x")


def test_values_without_a_table_get_the_same_checks():
    check_fields(Outer("x", groups=(Inner(),)))
    with pytest.raises(UsageError, match=r"^here: share must be at least 0 and below 1, not 1\.5$"):
        check_fields(Outer("x", share=1.5), "here")


def test_merge_is_recursive_unless_the_name_of_a_table_by_name_changes():
    below = {"lr": 1, "schedule": {"name": "poly", "power": 2}, "augment": {"flip_lr": 0.5}}
    above = {"schedule": {"name": "cosine"}, "augment": {"rotate": 10}}
    assert merge(below, above)["schedule"] == {"name": "cosine", "power": 2}
    assert merge(below, above, by_name={"schedule"}) == {
        "lr": 1,
        "schedule": {"name": "cosine"},
        "augment": {"flip_lr": 0.5, "rotate": 10},
    }
    again = merge(below, {"schedule": {"power": 3}}, by_name={"schedule"})
    assert again["schedule"] == {"name": "poly", "power": 3}
    assert below["schedule"] == {"name": "poly", "power": 2}


_keys = st.text(st.characters(exclude_categories=("Cs",)))
_plain = st.one_of(
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",))),
)
_values = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(_keys, _values, max_size=5))
def test_toml_reads_back_equal(table):
    assert tomllib.loads(to_toml(table)) == table


def test_values_that_toml_lacks_are_left_out_or_replaced():
    assert to_toml({"a": None, "b": {"c": None, "d": "\udce9"}}) == '\n[b]\nd = "?"\n'
