"""This process: what its environment says, the others of one run, and its standard error."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

_NO: Final = ("", "0", "false", "no", "off")


def switched_on(name: str) -> bool:
    """Say whether the variable ``name`` is set, to something that is no word for no."""
    return os.environ.get(name, "").strip().casefold() not in _NO


def world_size() -> int:
    """Return the number of processes that the launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return this process's place among them, from 0."""
    return int(os.environ.get("RANK", "0"))


class Crew(Protocol):
    """This process among those that share the work."""

    @property
    def rank(self) -> int:
        """Its number, from 0."""
        ...

    @property
    def world(self) -> int:
        """How many there are."""
        ...

    def gather(self, names: Sequence[str]) -> list[str]:
        """Wait for all, and return the names of all."""
        ...


@dataclass(frozen=True, slots=True)
class Alone:
    """A crew of one, which needs no PyTorch."""

    rank: int = 0
    world: int = 1

    def gather(self, names: Sequence[str]) -> list[str]:
        """Return ``names``."""
        return list(names)


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Turn the whole process's standard error away for a moment.

    Drivers and system libraries write there past every log level.
    """
    try:
        saved = os.dup(2)
    except OSError:  # a program without a console has none
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - not always a path
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
