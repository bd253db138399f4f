"""Everything that people see. Only data goes to stdout; this all goes to stderr."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def error(text: str) -> None:
    """Print a failure in one line."""
    stderr.print(f"[bold red]error:[/] {escape(_one_line(text))}")


def warn(text: str) -> None:
    """Print what the user should know although the work goes on."""
    stderr.print(f"[bold yellow]warning:[/] {escape(_one_line(text))}")


def note(text: str, *, quiet: bool = False) -> None:
    """Print a remark, unless ``quiet``."""
    if not quiet:
        stderr.print(f"[dim]{escape(_one_line(text))}[/]")


def put(text: str) -> None:
    """Print one line of data to stdout, as it is."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def put_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    put(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


@contextmanager
def progress(what: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar with count, time and time left; gives the function that moves it on."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    hidden = quiet or not stderr.is_terminal
    with Progress(*columns, console=stderr, disable=hidden, transient=True) as bars:
        task = bars.add_task(escape(what), total=total)
        yield lambda steps: bars.advance(task, steps)


def _one_line(text: str) -> str:
    """Keep a file name with line breaks in it from breaking the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
