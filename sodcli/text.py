"""Parts of messages."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

_NAMES_SHOWN = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of ``known``, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def shown(path: Path | str) -> str:
    """Return a path as messages show it: on one line, and printable on any terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def capped(names: Sequence[str]) -> str:
    """Return ``names`` as one readable list, cut after the first few."""
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
