"""Several processes on one run, as ``torchrun -m sodcli train`` starts them."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from sodcli.errors import DeviceError, PipelineError
from sodcli.process import world_size

# Rank 0 validates, or has a long film in hand, while the others wait for it.
_PATIENCE: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Team:
    """This process among those of the run.

    Attributes:
        rank: From 0; rank 0 alone reports and writes.
        world: Number of processes.
        device: Where this process computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Return ``values`` summed over all processes, element by element.

        Raises:
            PipelineError: If another process was lost.
        """
        if self.world == 1:
            return list(values)
        # NCCL reduces on its GPU only; MPS, which has no float64, never has a team.
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        with _meeting():
            dist.all_reduce(summed)
        return [float(value) for value in summed]

    def gather(self, names: Sequence[str]) -> list[str]:
        """Return the names of all processes, in the order of their ranks.

        Raises:
            PipelineError: If another process was lost.
        """
        if self.world == 1:
            return list(names)
        lists: list[Any] = [None] * self.world
        with _meeting():
            dist.all_gather_object(lists, list(names))
        return [name for part in lists for name in part]


@contextmanager
def join_team(device: torch.device) -> Iterator[Team]:
    """Join the other processes of the launcher, if there are any; leave them whatever happens.

    Args:
        device: ``cpu`` (gloo), or ``cuda``, of which every process takes its own (nccl).

    Raises:
        DeviceError: If the device cannot be shared, or there are fewer GPUs than processes.
    """
    if world_size() == 1:
        yield Team(0, 1, device)
        return
    device = _own(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        with warnings.catch_warnings():
            # Gradients of a channels_last pass arrive in that layout, and are copied once more.
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            yield Team(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def parallel(module: nn.Module, team: Team) -> nn.Module:
    """Return ``module`` such that its gradients are averaged over the team.

    On GPUs batch norm then takes its statistics over all processes; PyTorch has no such batch
    norm for the CPU, where each process keeps to its own pictures (:func:`splits_statistics`).
    """
    if team.world == 1:
        return module
    on_gpu = team.device.type == "cuda"
    if on_gpu:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(module, device_ids=[team.device] if on_gpu else None)


def splits_statistics(module: nn.Module, team: Team) -> bool:
    """Say whether batch norm sees only a part of each batch in ``team``."""
    has_norm = any(isinstance(child, _BatchNorm) for child in module.modules())
    return has_norm and team.world > 1 and team.device.type != "cuda"


def mean_weight(items: Tensor, batch: int, team: Team) -> float:
    """Return the factor that turns the mean loss of ``items`` into its share of the batch's.

    DistributedDataParallel averages gradients over the processes; with this factor every picture
    weighs ``1 / batch``, in whatever process and piece it lies.
    """
    return len(items) * team.world / batch


@contextmanager
def _meeting() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # whatever the transport says when a peer is gone
        raise PipelineError(
            "another process of this run was lost; the same command goes on from here"
        ) from error


def _own(device: torch.device) -> torch.device:
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise DeviceError(f"several processes train on CPUs or CUDA GPUs, not on {device.type}")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here > torch.cuda.device_count():
        raise DeviceError(
            f"{here} processes but {torch.cuda.device_count()} GPUs on this machine; "
            "start one process per GPU"
        )
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(own)
    return own
