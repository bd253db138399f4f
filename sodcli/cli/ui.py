"""Messages and progress on stderr; data, and data only, on stdout."""

import json
import os
import sys
import time
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
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table

from sodcli.errors import SinkError, UsageError
from sodcli.text import reason_of

_LINE_S: Final = 60.0  # between two lines about long work
_NO_LIMIT: Final = 1000  # columns
FilmMove = Callable[[str, int, int | None, float], None]

stderr = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def error(text: str) -> None:
    """Print a failure in one line."""
    stderr.print(f"[bold red]error:[/] {escape(_one_line(text))}")


def warn(text: str) -> None:
    """Print a problem that does not stop the work."""
    stderr.print(f"[bold yellow]warning:[/] {escape(_one_line(text))}")


def note(text: str, *, quiet: bool = False) -> None:
    """Print a remark, unless ``quiet``."""
    if not quiet:
        stderr.print(f"[dim]{escape(_one_line(text))}[/]")


def on_screen() -> bool:
    """Return True if stdout is a screen, not a file or a pipe."""
    return sys.stdout is not None and sys.stdout.isatty()


def check_stdout(what: str, *, as_json: bool) -> None:
    """Check that a picture or film can go to stdout.

    Raises:
        UsageError: If it is a screen, or the JSON document goes there.
    """
    if as_json:
        raise UsageError(
            f"the {what} and --json cannot both go to standard output; name a file: -o FILE"
        )
    if on_screen():
        raise UsageError(f"the {what} cannot go to the screen; name a file: -o FILE")


def print_line(text: str) -> None:
    """Print one line of data to stdout; on a screen, unprintable characters are escaped."""
    _write(f"{_one_line(text) if on_screen() else text}\n")


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    if not _is_plain(text):
        text = json.dumps(value, indent=2, allow_nan=False)
    _write(f"{text}\n")


class _MinuteLines:
    """Prints the progress of long work once a minute, where no screen shows a bar."""

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._off = quiet or stderr.is_terminal
        self._clock, self._begin = clock, clock()
        self._next = self._begin + _LINE_S

    def move(self, what: str, done: int, total: int | None) -> None:
        """Print a line if a minute has passed since the last one."""
        now = self._clock()
        if self._off or now < self._next or not done:
            return
        self._next = now + _LINE_S
        left = "" if total is None else f", {_duration((now - self._begin) * (total / done - 1))}"
        of = "" if total is None else f" of {total}"
        note(f"{what}: {done}{of}{left}{' left' if left else ''}")

    def restart(self) -> None:
        """Start a new measurement of the rate."""
        self._begin = self._clock()


def _duration(seconds: float) -> str:
    """Return ``40 s``, ``5 min`` or ``2 h 10 min``."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def progress(what: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar with count, time and time left; yields the function that advances it.

    Where stderr is not a screen, one line a minute is printed instead.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    hidden, done = quiet or not stderr.is_terminal, 0
    lines = _MinuteLines(quiet=quiet)
    with Progress(*columns, console=stderr, disable=hidden, transient=True) as bars:
        task = bars.add_task(escape(what), total=total)

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            bars.advance(task, steps)
            lines.move(what, done, total)

        yield advance


@contextmanager
def film_progress(*, quiet: bool = False) -> Iterator[FilmMove]:
    """Show a bar for the current film: frames, frames per second, position, time left.

    Yields the function to call with the film's name, the frames done, the frames to expect (if
    known) and the position in the film, in seconds. Where stderr is not a screen, one line a
    minute is printed instead.
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
    lines = _MinuteLines(quiet=quiet)
    with Progress(*columns, console=stderr, disable=hidden, transient=True) as bars:
        shown: str | None = None

        def move(name: str, done: int, expected: int | None, seconds: float) -> None:
            nonlocal shown
            if name != shown or done < bars.tasks[0].completed:  # a film may have several results
                for old in bars.task_ids:
                    bars.remove_task(old)
                bars.add_task(escape(_one_line(name)), rate=0.0, at="")
                shown = name
                lines.restart()
            task = bars.tasks[0]
            minutes, rest = divmod(round(seconds, 1), 60)
            at = f"{int(minutes)}:{rest:04.1f}"
            rate = done / task.elapsed if task.elapsed else 0.0
            total = None if expected is None else max(expected, done)
            bars.update(task.id, completed=done, total=total, rate=rate, at=at)
            lines.move(f"{name}, frames", done, total)

        yield move


@contextmanager
def transfer(*, quiet: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """Yield the function that moves a bar of bytes; the bar appears at the first call."""
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
    """Print a table to stdout; without a screen it is as wide as it needs to be.

    On a narrow screen the first column stays whole, and the others wrap.
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
        SinkError: If the reader closed the pipe, or the disk is full.
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
        with suppress(OSError, ValueError):  # otherwise Python prints a second error at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SinkError(f"cannot write to standard output: {reason_of(error)}") from error


def _is_plain(text: str) -> bool:
    """Return True if stdout can encode a text, and it holds no control characters."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return all(c == "\n" or c.isprintable() for c in text)


def _one_line(text: str) -> str:
    """Escape unprintable characters, so that a file name cannot break the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
