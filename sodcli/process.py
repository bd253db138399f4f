"""Process utilities: environment variables, process groups, standard error."""

import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sodcli.errors import DeviceError, PipelineError, UsageError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
_NO: Final = ("", "0", "false", "no", "off")
_TIMEOUT: Final = timedelta(days=7)  # the others wait while rank 0 validates or encodes a film
# A thread of Gloo that still frees the tensors of the last exchange needs the interpreter's lock,
# which destroy_process_group holds while it waits for that thread: both would wait forever.
_SETTLE_S: Final = 0.2
LOST_PROCESS: Final = (
    "another process of this run was lost; the same command continues the run "
    "(sod train and sod test: with --resume)"
)
"""Message for the processes that remain."""


def switched_on(name: str) -> bool:
    """Return True if the environment variable ``name`` is set, and not to 0, false, no or off."""
    return os.environ.get(name, "").strip().casefold() not in _NO


def world_size() -> int:
    """Return the number of processes that a launcher such as torchrun started; 1 without one."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """Return the rank of this process among those of the launcher, from 0."""
    return _number("RANK", 0)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes that share a run; a group of one does not need PyTorch.

    Attributes:
        rank: Number of this process, from 0. Only rank 0 reports and writes common files.
        world_size: Number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that reports and writes common files."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items that this process works on: every ``world_size``-th one."""
        return items[self.rank :: self.world_size]

    def total(self, values: Sequence[float]) -> list[float]:
        """Return ``values`` summed over all processes, element by element.

        Raises:
            PipelineError: If another process was lost.
        """
        if self.world_size == 1:
            return list(values)
        import torch
        from torch import distributed

        # NCCL reduces tensors on the GPU of the process only.
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        summed = torch.tensor(values, dtype=torch.float64, device=device)
        with _lost_process_explained():
            distributed.all_reduce(summed)
        return [float(value) for value in summed]

    def gather(self, names: Sequence[str]) -> list[str]:
        """Wait for all processes; return the names of all, in the order of their ranks.

        Raises:
            PipelineError: If another process was lost.
        """
        if self.world_size == 1:
            return list(names)
        from torch import distributed

        lists: list[Any] = [None] * self.world_size
        with _lost_process_explained():
            distributed.all_gather_object(lists, list(names))
        return [name for part in lists for name in part]


@contextmanager
def join_processes(device: "torch.device") -> "Iterator[tuple[ProcessGroup, torch.device]]":
    """Join the process group of the launcher, if there is one; leave it at the end.

    Args:
        device: ``cpu`` (gloo backend) or ``cuda`` (nccl backend, one GPU per process).

    Yields:
        The group, and the device of this process.

    Raises:
        DeviceError: If the device cannot be shared, or there are fewer GPUs than processes.
        UsageError: If ``WORLD_SIZE`` is set, but not the other variables of a launcher.
    """
    if world_size() == 1:
        yield ProcessGroup(), device
        return
    from torch import distributed

    own = _own_device(device)
    try:
        distributed.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=_TIMEOUT)
    except ValueError as error:
        raise UsageError(
            f"WORLD_SIZE is {world_size()}, but variables that torchrun sets are missing; "
            "start with torchrun, or unset WORLD_SIZE"
        ) from error
    try:
        with warnings.catch_warnings():
            # Gradients of a channels_last pass arrive in that layout and are copied once more.
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            yield ProcessGroup(distributed.get_rank(), distributed.get_world_size()), own
    finally:
        time.sleep(_SETTLE_S)
        distributed.destroy_process_group()


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Discard what the whole process writes to standard error inside the block.

    Drivers and system libraries write to it regardless of the log level.
    """
    try:
        saved = os.dup(2)
    except OSError:  # a program without a console has no standard error
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - not a path on every system
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextmanager
def _lost_process_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # the message for a lost peer depends on the backend
        raise PipelineError(LOST_PROCESS) from error


def _own_device(device: "torch.device") -> "torch.device":
    import torch

    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise DeviceError(f"several processes train on CPUs or CUDA GPUs, not on {device.type}")
    here = _number("LOCAL_WORLD_SIZE", 1)
    if here > torch.cuda.device_count():
        raise DeviceError(
            f"{here} processes but {torch.cuda.device_count()} GPUs on this machine; "
            "start one process per GPU"
        )
    own = torch.device("cuda", _number("LOCAL_RANK", 0))
    torch.cuda.set_device(own)
    return own
