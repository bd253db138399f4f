"""The processes that ``torchrun`` starts for one command, seen from the command line."""

from collections.abc import Iterator
from contextlib import contextmanager

from sodcli.pipelines.crew import Alone, Crew
from sodcli.training.launcher import world_size


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
