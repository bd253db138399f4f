"""Rename keys by pairs of templates that work in both directions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from torch import Tensor

_FIELDS: Final = {
    "i": r"\d+",
    "j": r"\d+",
    "a": r"[hml]",
    "b": r"[hml]",
    "block": r"block\d_\d",
    "tdc": r"tdc\d",
    "part": r"project1|project2|global_spatial|global_temporal|attention",
    "leaf": r"[a-z_]+",
    "path": r".+?",
    "rest": r".+",
}
Pairs = Sequence[tuple[str, str]]


def rename(state: Mapping[str, Tensor], pairs: Pairs) -> dict[str, Tensor] | None:
    """Return ``state`` with every key taken from the left template to the right one.

    Templates are key names with fields in them, such as ``{i}`` (a number), ``{leaf}`` (a word) or
    ``{rest}``; the first that fits counts. ``None`` if a key fits no template.
    """
    compiled = [(re.compile(_pattern(left)), right) for left, right in pairs]
    renamed = {}
    for key, tensor in state.items():
        new = _first_fit(key, compiled)
        if new is None:
            return None
        renamed[new] = tensor
    return renamed


def swapped(pairs: Pairs) -> Pairs:
    """Return the pairs for the way back."""
    return [(right, left) for left, right in pairs]


def _pattern(template: str) -> str:
    pattern = re.escape(template)
    for name, expression in _FIELDS.items():
        pattern = pattern.replace(re.escape("{" + name + "}"), f"(?P<{name}>{expression})")
    return pattern


def _first_fit(key: str, compiled: Iterable[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, template in compiled:
        if found := pattern.fullmatch(key):
            return template.format(**found.groupdict())
    return None
