"""The processes that share one run's work, seen from one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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
