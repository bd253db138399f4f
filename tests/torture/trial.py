"""Run ``sod`` on hostile input and check its behaviour and its files."""

import json
import signal
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from sodcli.cli.app import app
from sodcli.weights.read import read_pickle
from tests.film_kit import ffmpeg

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp")
FILMS = (".mp4", ".mkv", ".mov", ".webm", ".gif", ".apng")
CODES = (0, 1, 2, 3, 4, 5)
_BASE = ("--threads", "1")


class HangError(BaseException):
    """Raised on a timeout; not an ``Exception``, so that nothing catches it."""


@dataclass(frozen=True)
class Run:
    """The result of a command."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    def __str__(self) -> str:
        return f"sod {' '.join(self.words)}\nexit code {self.code}\n{self.err[-2000:]}"


def sod(*words: object, stdin: bytes | None = None, limit: float = 600) -> Run:
    """Run a command in this process, for at most ``limit`` seconds, and check the rules.

    For any input: no traceback, no internal error, no control characters, a known exit code, and
    an ``error:`` or ``warning:`` line if the code is not 0.
    """
    text = tuple(str(word) for word in words)
    with time_limit(limit):
        result = CliRunner().invoke(app, list(text), input=stdin)
    run = Run(text, result.exit_code, result.stdout, result.stderr)
    assert result.exception is None or isinstance(result.exception, SystemExit), run
    check_rules(run)
    return run


def check_rules(run: Run) -> None:
    """Check the rules of :func:`sod` for a run."""
    assert run.code in CODES, run
    assert "Traceback" not in run.err, run
    assert "internal error" not in run.err, run
    assert all(c == "\n" or c.isprintable() for c in run.err), run
    told = run.errors or [line for line in run.err.splitlines() if line.startswith("warning: ")]
    assert told or run.code == 0, run


def refused(*words: object, code: int = 1, stdin: bytes | None = None) -> Run:
    """Run a command that must fail with ``code`` and one line of error."""
    run = sod(*words, stdin=stdin)
    assert run.code == code, run
    assert len(run.errors) == 1, run
    return run


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`HangError` if the block takes longer."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(*_: object) -> None:
        raise HangError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def leftovers(folder: Path) -> list[Path]:
    """Return temporary files of unfinished work under ``folder``."""
    return sorted(folder.rglob(".sod-*"))


def all_whole(folder: Path) -> int:
    """Read every file under ``folder`` with a final name completely; return their number."""
    count = 0
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".sod-") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            open_whole(path)
            count += 1
    return count


def open_whole(path: Path) -> None:
    """Read a file in the format of its suffix; any error is raised."""
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        with Image.open(path) as picture:
            picture.load()
    elif suffix in FILMS:
        ffmpeg("-i", f"file:{path}", "-f", "null", "-")
    elif suffix == ".safetensors":
        assert load_file(path)
    elif suffix in (".pth", ".pt"):
        assert read_pickle(path)
    elif suffix == ".json":
        json.loads(path.read_text())
    elif suffix == ".jsonl":
        assert all(json.loads(line) for line in path.read_text().splitlines())
    elif suffix == ".toml":
        tomllib.loads(path.read_text())


def quick(*words: object) -> tuple[object, ...]:
    """Return options that make the network small and the run single-threaded."""
    return (*words, "--size", "32", *_BASE)
