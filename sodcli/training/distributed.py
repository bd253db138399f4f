"""One training step shared by several processes: gradients, batch norm, weights of the losses."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from sodcli.process import ProcessGroup


def parallel(module: nn.Module, group: ProcessGroup, device: torch.device) -> nn.Module:
    """Return ``module`` such that its gradients are averaged over the group.

    On GPUs batch norm then takes its statistics over all processes; PyTorch has no such batch
    norm for the CPU, where each process keeps to its own pictures (:func:`splits_statistics`).
    """
    if group.world_size == 1:
        return module
    on_gpu = device.type == "cuda"
    if on_gpu:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(module, device_ids=[device] if on_gpu else None)


def splits_statistics(module: nn.Module, group: ProcessGroup, device: torch.device) -> bool:
    """Return whether batch norm sees only a part of each batch in ``group``."""
    has_norm = any(isinstance(child, _BatchNorm) for child in module.modules())
    return has_norm and group.world_size > 1 and device.type != "cuda"


def mean_weight(items: Tensor, batch: int, group: ProcessGroup) -> float:
    """Return the factor that turns the mean loss of ``items`` into its share of the batch's.

    DistributedDataParallel averages gradients over the processes; with this factor every picture
    weighs ``1 / batch``, in whatever process and piece it lies.
    """
    return len(items) * group.world_size / batch
