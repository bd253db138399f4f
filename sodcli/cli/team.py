"""The processes that ``torchrun`` starts for one command, seen from the command line."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sodcli.training.launcher import world_size


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
def join_crew(device: str) -> Iterator[tuple[Crew, str]]:
    """Join the other processes of the launcher, if there are any.

    Args:
        device: As typed.

    Yields:
        The crew, and the device of this process, as one would type it.

    Raises:
        DeviceError: If there is no such device, or it cannot be shared.
    """
    if world_size() == 1:
        yield Alone(), device
        return
    from sodcli.pipelines.device import choose_device
    from sodcli.training.distributed import join_team

    with join_team(choose_device(device)) as team:
        yield team, str(team.device)
