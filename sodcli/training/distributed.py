"""Distributed training: gradients, batch norm and loss weights across processes."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from sodcli.process import ProcessGroup


def parallel(module: nn.Module, group: ProcessGroup, device: torch.device) -> nn.Module:
    """Wrap ``module`` so that its gradients are averaged over the group.

    On GPUs batch norm is synchronised over all processes. PyTorch has no synchronised batch norm
    for the CPU, where each process uses its own pictures only (:func:`splits_statistics`).
    """
    if group.world_size == 1:
        return module
    on_gpu = device.type == "cuda"
    if on_gpu:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(module, device_ids=[device] if on_gpu else None)


def splits_statistics(module: nn.Module, group: ProcessGroup, device: torch.device) -> bool:
    """Return True if batch norm sees only a part of each batch in ``group``."""
    has_norm = any(isinstance(child, _BatchNorm) for child in module.modules())
    return has_norm and group.world_size > 1 and device.type != "cuda"


def mean_weight(items: Tensor, batch: int, group: ProcessGroup) -> float:
    """Return the factor that turns the mean loss of ``items`` into its share of the batch's.

    DistributedDataParallel averages gradients over the processes; with this factor every picture
    has weight ``1 / batch``, whatever process and part of the batch it belongs to.
    """
    return len(items) * group.world_size / batch
