"""Turn TOML tables into frozen dataclasses, and back into TOML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from sodcli.errors import UsageError
from sodcli.text import did_you_mean

T = TypeVar("T")
_FLOAT_END = 2**1023  # whole numbers from here on need not fit


def read_table(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """Build the dataclass ``kind`` from ``table``, checking every key and every type.

    Numbers without a fraction fit a float, lists fit tuples, tables fit nested dataclasses.

    Args:
        kind: A dataclass whose fields are ``str``, ``int``, ``float``, ``bool``, ``Literal``,
            ``Mapping``, dataclasses, or tuples of these.
        table: Keys and values as TOML gives them.
        where: Name of the table for messages.

    Raises:
        UsageError: On an unknown key (with the nearest known one), a missing key or a value of
            another type.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            names = ", ".join(sorted(known))
            hint = did_you_mean(key, known)
            raise UsageError(f"{where}: unknown key {key!r}.{hint} Known: {names}.")
    missing = [name for name, field in known.items() if _required(field) and name not in table]
    if missing:
        raise UsageError(f"{where}: {missing[0]!r} is missing")
    hints = get_type_hints(kind)
    return kind(**{key: _fit(value, hints[key], f"{where}.{key}") for key, value in table.items()})


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay tables over each other, later ones on top.

    Nested tables are merged key by key, except when a later one changes ``name``: options of an
    SGD mean nothing to an Adam, so the table is then replaced.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                renamed = value.get("name", below.get("name")) != below.get("name")
                merged[key] = value if renamed else merge(below, value)
            else:
                merged[key] = value
    return merged


def to_toml(table: Mapping[str, Any]) -> str:
    """Write ``table`` as TOML: plain values first, then one section per nested table.

    What lies deeper than that is written inline. ``tomllib`` reads back equal values.
    """
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"{key} = {_inline(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if key not in plain:
            lines += ["", f"[{key}]", *(f"{k} = {_inline(v)}" for k, v in value.items())]
    return "\n".join(lines) + "\n"


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _fit(value: Any, hint: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin is tuple and isinstance(value, list | tuple):
        return _fit_tuple(value, get_args(hint), where)
    if is_dataclass(hint) and isinstance(value, Mapping):
        return read_table(hint, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        fits = value in get_args(hint)
    elif hint is float and type(value) is int and abs(value) < _FLOAT_END:
        return float(value)
    else:
        table = origin not in (None, tuple)
        fits = isinstance(value, Mapping) if table else type(value) is hint
    if not fits:
        raise UsageError(f"{where}: {value!r} is not {_say(hint)}")
    return value


def _fit_tuple(values: Sequence[Any], hints: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if hints[-1] is Ellipsis:
        hints = (hints[0],) * len(values)
    if len(hints) != len(values):
        raise UsageError(f"{where}: {len(hints)} values are needed, not {len(values)}")
    return tuple(_fit(value, hint, where) for value, hint in zip(values, hints, strict=True))


def _say(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(hint, "a list" if get_origin(hint) is tuple else "a table")


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    # JSON's strings, numbers and booleans are TOML's, as long as no surrogate pairs are escaped.
    return json.dumps(value, ensure_ascii=False)
