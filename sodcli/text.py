"""Format parts of messages, and pages of HTML."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of ``known``, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def display_name(path: Path | str) -> str:
    """Return a path for a message, on one line and with unprintable characters escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def shortened(names: Sequence[str], most: int = 5) -> str:
    """Return ``names`` separated by commas; if more than ``most``, the first ones and a count."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def plural(count: int, noun: str) -> str:
    """Return ``1 picture`` or ``1,234 pictures``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def reason_of(error: Exception) -> str:
    """Return what the operating system says about ``error``, else the message of ``error``."""
    return getattr(error, "strerror", None) or str(error)


def render_html(package: str, template: str, **values: Any) -> str:
    """Fill a template that lies in a package; text is escaped, ``Markup`` is not.

    The template also gets ``version``, that of sodcli.
    """
    from jinja2 import Environment, PackageLoader

    from sodcli import __version__

    loader = PackageLoader(package, ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(values, version=__version__) + "\n"
