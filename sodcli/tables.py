"""Convert TOML tables to frozen dataclasses, validated by their annotations, and back.

A field's annotation is ``str``, ``int``, ``float``, ``bool``, ``Literal``, ``Mapping``, another
dataclass, a tuple of these, or one of these ``| None``. ``Annotated`` adds limits: :class:`Range`,
:class:`Length` and :class:`Pattern`.
"""

import json
import math
import re
import types
from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from sodcli.errors import UsageError
from sodcli.text import did_you_mean

T = TypeVar("T")
_FLOAT_END: Final = 2**1023  # larger whole numbers may not fit a float
_NOUNS: Final = {str: "string", int: "whole number", float: "number"}
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class Limit(Protocol):
    """A constraint on a value beyond its type."""

    @property
    def words(self) -> str:
        """Completes ``KEY must``."""
        ...

    def allows(self, value: Any) -> bool:
        """Return True if ``value``, or each item of a list, is allowed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Limits of a number, or of each number of a list; infinity and NaN are never allowed.

    Attributes:
        least: Smallest number.
        most: Greatest number.
        above: Excluded lower limit.
        below: Excluded upper limit.
        rising: Whether the numbers of a list must not decrease.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    rising: bool = False

    @property
    def words(self) -> str:
        """Completes ``KEY must``."""
        if self.least > -math.inf and self.most < math.inf:
            limits = f"be from {self.least:g} to {self.most:g}"
        else:
            named = {"at least": self.least, "above": self.above, "below": self.below}
            finite = [f"{word} {limit:g}" for word, limit in named.items() if math.isfinite(limit)]
            limits = "be " + (" and ".join(finite) or "finite")
        return limits + (", the smaller first" if self.rising else "")

    def allows(self, value: Any) -> bool:
        """Return True if ``value``, or each item of a list, is allowed."""
        numbers = value if isinstance(value, list | tuple) else (value,)
        ordered = not self.rising or list(numbers) == sorted(numbers)
        return ordered and all(map(self._allows, numbers))

    def _allows(self, number: float) -> bool:
        inside = self.least <= number <= self.most and self.above < number < self.below
        return inside and math.isfinite(number)


NotNegative = Annotated[float, Range(least=0)]


@dataclass(frozen=True, slots=True)
class Length:
    """Smallest length of a list.

    Attributes:
        least: Number of values.
        words: Completes ``KEY must``.
    """

    least: int
    words: str

    def allows(self, value: Any) -> bool:
        """Return True if the list is long enough."""
        return len(value) >= self.least


@dataclass(frozen=True, slots=True)
class Pattern:
    """Form of a string, or of each string of a list.

    Attributes:
        expression: Regular expression of the whole string.
        words: Completes ``KEY must``.
    """

    expression: str
    words: str

    def allows(self, value: Any) -> bool:
        """Return True if ``value``, or each item of a list, matches."""
        texts = (value,) if isinstance(value, str) else value
        return all(re.fullmatch(self.expression, text) for text in texts)


def read_table(kind: type[T], table: Mapping[str, Any], where: str = "", **given: Any) -> T:
    """Build the dataclass ``kind`` from ``table``, checking every key, type and limit.

    Integers become floats in float fields, lists become tuples, tables become nested dataclasses.

    Args:
        kind: A dataclass; the module docstring lists the supported annotations.
        table: Keys and values as parsed from TOML.
        where: Name of the table for messages.
        given: Values of fields that are not keys of the table.

    Raises:
        UsageError: On an unknown key (with the nearest known one), a missing key, or a value of
            another type or outside its limits; the message names the key.
    """
    return _read(kind, table, where, "", given)


def check_fields(value: Any, where: str = "") -> None:
    """Check types and limits of a dataclass that was built without :func:`read_table`.

    Raises:
        UsageError: As in :func:`read_table`.
    """
    for key, hint in _hints(type(value)).items():  # type: ignore[arg-type]
        _fit(getattr(value, key), hint, key, where)


def merge(*layers: Mapping[str, Any], by_name: Container[str] = ()) -> dict[str, Any]:
    """Merge tables, nested ones key by key; values of later ones take precedence.

    Args:
        layers: The tables.
        by_name: Keys of tables whose options belong to their ``name``: one with another name
            replaces the table below it.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                other = value.get("name", below.get("name")) != below.get("name")
                merged[key] = value if other and key in by_name else merge(below, value)
            else:
                merged[key] = value
    return merged


def flattened(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of ``table`` and of the tables in it by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def to_toml(table: Mapping[str, Any]) -> str:
    """Return ``table`` as TOML: plain values first, then one section per nested table.

    Deeper tables are written inline and ``None`` is left out. ``tomllib`` reads back equal values,
    except that unpaired surrogates, which UTF-8 cannot encode, become question marks.
    """
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = _lines(plain)
    for key, value in table.items():
        if key not in plain:
            lines += ["", f"[{_key(key)}]", *_lines(value)]
    return "\n".join(lines) + "\n"


def _read(
    kind: type[T], table: Mapping[str, Any], where: str, above: str, given: Mapping[str, Any]
) -> T:
    """Read a table; messages name its keys with the prefix ``above``."""
    hints = {k: hint for k, hint in _hints(kind).items() if k not in given}  # type: ignore[arg-type]
    for key in table:
        if key not in hints:
            hint = did_you_mean(key, hints)
            known = ", ".join(sorted(hints))
            raise _wrong(where, f"unknown key '{above}{key}'.{hint} Known: {known}.")
    for one in fields(kind):  # type: ignore[arg-type]
        needed = one.default is MISSING and one.default_factory is MISSING
        if needed and one.name in hints and one.name not in table:
            raise _wrong(where, f"needs the key '{above}{one.name}'")
    values = {key: _fit(value, hints[key], f"{above}{key}", where) for key, value in table.items()}
    return kind(**given, **values)


@cache  # each start reads about a hundred entries of a few dataclasses
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _fit(value: Any, hint: Any, key: str, where: str) -> Any:
    """Return ``value`` converted to the type ``hint``."""
    limits: Sequence[Limit] = ()
    if get_origin(hint) is Annotated:
        hint, *limits = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = get_args(hint)[0]  # the other one is None, which TOML does not have
    if is_dataclass(hint) and isinstance(value, Mapping):
        return _read(hint, value, where, f"{key}.", {})  # type: ignore[arg-type]
    fitted = _fit_tuple(value, hint, key, where) if get_origin(hint) is tuple else value
    if hint is float and type(value) is int and abs(value) < _FLOAT_END:
        fitted = float(value)
    if not _is(fitted, hint):
        raise _wrong(where, f"{key} must be {_in_words(hint)}, not {_shown(value)}")
    for limit in limits:
        if not limit.allows(fitted):
            raise _wrong(where, f"{key} must {limit.words}, not {_shown(value)}")
    return fitted


def _fit_tuple(value: Any, hint: Any, key: str, where: str) -> Any:
    """Convert a list to a tuple; return None if its length or item types do not match ``hint``."""
    if not isinstance(value, list | tuple):
        return value
    kinds = get_args(hint)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        return None
    pairs = list(zip(value, kinds, strict=True))
    if not all(is_dataclass(kind) or _is(item, kind) for item, kind in pairs):
        return None
    return tuple(_fit(item, kind, key, where) for item, kind in pairs)


def _is(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if hint is float:
        return type(value) is float or (type(value) is int and abs(value) < _FLOAT_END)
    if hint is int:
        return type(value) is int  # bool is a subclass of int
    return isinstance(value, origin or hint)


def _in_words(hint: Any) -> str:
    args = get_args(hint)
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, args))
    if get_origin(hint) is tuple:
        count = "" if args[-1] is Ellipsis else f"{len(args)} "
        return f"a list of {count}{_NOUNS.get(args[0], 'table')}s"
    if hint is bool:
        return "true or false"
    return f"a {_NOUNS.get(hint, 'table')}"


def _shown(value: Any) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)


def _wrong(where: str, what: str) -> UsageError:
    return UsageError(f"{where}: {what}" if where else what)


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(k)} = {_inline(v)}" for k, v in table.items() if v is not None]


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _inline(key)


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_lines(value)) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    # JSON strings, numbers and booleans are valid TOML, except DEL and unpaired surrogates.
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return _SURROGATE.sub("?", text)
