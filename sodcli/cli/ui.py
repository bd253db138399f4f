"""Everything that people see. Only data goes to stdout; this all goes to stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table

from sodcli.errors import SinkError
from sodcli.text import reason_of

_NO_LIMIT: Final = 1000  # columns
FilmMove = Callable[[str, int, int | None, float], None]

stderr = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


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


def on_screen() -> bool:
    """Say whether a person reads stdout, not a program."""
    return sys.stdout is not None and sys.stdout.isatty()


def print_line(text: str) -> None:
    """Print one line of data to stdout: to a program as it is, to a screen on one safe line."""
    _write(f"{_one_line(text) if on_screen() else text}\n")


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    if not _is_plain(text):
        text = json.dumps(value, indent=2, allow_nan=False)
    _write(f"{text}\n")


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


@contextmanager
def film_progress(*, quiet: bool = False) -> Iterator[FilmMove]:
    """Show a bar for the film in hand: frames, frames per second, position, time left.

    Gives the function to call with the film's name, the frames done, the frames to expect (if
    known) and the position in the film, in seconds.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} fps"),
        TextColumn("at {task.fields[at]}"),
        TimeRemainingColumn(),
    )
    hidden = quiet or not stderr.is_terminal
    with Progress(*columns, console=stderr, disable=hidden, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def move(name: str, done: int, expected: int | None, seconds: float) -> None:
            if name not in tasks:
                for old in tasks.values():
                    bars.remove_task(old)
                tasks.clear()
                tasks[name] = bars.add_task(escape(_one_line(name)), rate=0.0, at="")
            task = bars.tasks[0]
            at = f"{int(seconds) // 60}:{seconds % 60:04.1f}"
            rate = done / task.elapsed if task.elapsed else 0.0
            total = None if expected is None else max(expected, done)
            bars.update(tasks[name], completed=done, total=total, rate=rate, at=at)

        yield move


@contextmanager
def transfer(*, quiet: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """Give the function that moves a bar of bytes; the bar appears with the first of them."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=stderr, transient=True)
    task = bars.add_task("downloading", total=None)
    hidden = quiet or not stderr.is_terminal

    def move(have: int, total: int | None) -> None:
        if not hidden:
            bars.start()
            bars.update(task, completed=have, total=total)

    try:
        yield move
    finally:
        if not hidden:
            bars.stop()


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout; as wide as it needs to be where no screen limits it.

    On a narrow screen the names in the first column stay whole, and the others give way.
    """
    name = Column(headers[0], no_wrap=True)
    table = Table(name, *headers[1:], box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(escape(_one_line(cell)) for cell in row))
    width = None if on_screen() else _NO_LIMIT
    screen = Console(highlight=False, emoji=False, width=width)
    with screen.capture() as text:
        screen.print(table)
    _write(text.get())


def _write(text: str) -> None:
    """Write to stdout, if there is one.

    Raises:
        SinkError: If nobody reads it any more, or the disk is full.
    """
    if sys.stdout is None:
        return
    try:
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:  # a file name in another encoding: its own bytes
            sys.stdout.buffer.write(os.fsencode(text))
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # or Python would complain once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SinkError(f"cannot write to standard output: {reason_of(error)}") from error


def _is_plain(text: str) -> bool:
    """Say whether stdout can take a text, and no screen would obey it."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return all(c == "\n" or c.isprintable() for c in text)


def _one_line(text: str) -> str:
    """Keep a file name with line breaks in it from breaking the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
