"""Whether a table of models.toml has the keys of its entry, and each of the right type."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from sodcli.errors import RegistryError

_NOUNS: Final = {str: "string", int: "whole number", float: "number"}


def check_table(entry: Any, table: Mapping[str, Any], above: str = "") -> None:
    """Refuse a table that is no ``entry``; its ranges are for ``entry`` itself to check.

    Args:
        entry: A dataclass, whose annotations say what each key holds. Its ``name`` is no key.
        table: As TOML gives it, with lists as tuples.
        above: What stands before each key in a message, for a table inside an entry.

    Raises:
        RegistryError: If a key is unknown, missing or of another type; it names the key.
    """
    wanted = _wanted(entry)
    for key in table:
        if key not in wanted:
            raise RegistryError(f"unknown key '{above}{key}'")
    for one in fields(entry):
        needed = one.default is MISSING and one.default_factory is MISSING
        if needed and one.name in wanted and one.name not in table:
            raise RegistryError(f"needs the key '{above}{one.name}'")
    for key, value in table.items():
        _check_value(f"{above}{key}", value, wanted[key])


@cache  # every start of the program checks dozens of entries of three kinds
def _wanted(entry: Any) -> dict[str, Any]:
    """Return what each key holds, as the annotations say."""
    return {key: of for key, of in get_type_hints(entry).items() if key != "name"}


def _check_value(key: str, value: Any, wanted: Any) -> None:
    inner = next(filter(is_dataclass, _kinds(wanted)), None)
    if inner is not None and isinstance(value, Mapping):
        check_table(inner, value, f"{key}.")
    elif not _fits(value, wanted):
        shown = list(value) if isinstance(value, tuple) else value
        raise RegistryError(f"{key} must be {_in_words(wanted)}, not {shown!r}")


def _fits(value: Any, wanted: Any) -> bool:
    if len(kinds := _kinds(wanted)) > 1:
        return any(_fits(value, kind) for kind in kinds)
    origin, args = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return value in args
    if origin is tuple:
        each = _each(args, len(value)) if isinstance(value, tuple) else None
        return each is not None and all(map(_fits, value, each))
    if isinstance(value, bool):  # which Python counts as a whole number
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else origin or wanted)


def _each(args: tuple[Any, ...], length: int) -> tuple[Any, ...] | None:
    """Return what each value of a list must be; nothing where it may not have that length."""
    if args[-1] is Ellipsis:
        return args[:1] * length
    return args if len(args) == length else None


def _kinds(wanted: Any) -> tuple[Any, ...]:
    """Return the members of a union; what is none is the only one."""
    return get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)


def _in_words(wanted: Any) -> str:
    kind = _kinds(wanted)[0]  # the other one is None, which TOML does not have
    args = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, args))
    if get_origin(kind) is tuple:
        count = "" if args[-1] is Ellipsis else f"{len(args)} "
        return f"a list of {count}{_NOUNS[args[0]]}s"
    if kind is bool:
        return "true or false"
    return f"a {_NOUNS.get(kind, 'table')}"
