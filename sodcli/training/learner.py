"""The network in training, its optimiser, and one training step."""

import copy
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from sodcli.models._base import Prediction
from sodcli.process import ProcessGroup
from sodcli.training.config import TrainConfig
from sodcli.training.losses import get_loss
from sodcli.training.optim import build_optimizer, set_rates


def average_of(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` for its running average, in eval mode and without gradients."""
    return copy.deepcopy(module).eval().requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, decay: float, step: int) -> None:
    """Update the running average.

    The decay is at most ``(1 + step) / (10 + step)``, so that the initial weights lose their
    influence early. Buffers, such as batch norm's statistics, are copied.

    Args:
        average: From :func:`average_of`.
        module: The module in training.
        decay: Weight of the old average, in ``[0, 1)``.
        step: Number of optimiser steps taken before.
    """
    kept = min(decay, (1 + step) / (10 + step))
    for old, new in zip(average.parameters(), module.parameters(), strict=True):
        old.lerp_(new, 1 - kept)
    for held, given in zip(average.buffers(), module.buffers(), strict=True):
        held.copy_(given)


_FORMATS: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Learner:
    """Everything that a training step changes.

    Attributes:
        module: The network in training.
        average: Running average of its weights, or None.
        for_use: The module that is validated and saved: ``average`` if it is not None, else
            ``module``.
    """

    def __init__(
        self, module: nn.Module, config: TrainConfig, group: ProcessGroup, device: torch.device
    ) -> None:
        self.module = module.to(device)
        self.average = average_of(self.module) if config.ema else None
        self.for_use = self.average or self.module
        self._config, self._group, self._device = config, group, device
        self._loss = get_loss(config.loss)
        self._optimizer = build_optimizer(
            self.module, config.optimizer, config.lr, preloaded=bool(config.init)
        )
        # After build_optimizer, which freezes some parameters.
        self._net = parallel(self.module, group, device)
        self._scaler = torch.amp.GradScaler(device.type, enabled=config.amp == "fp16")

    def gradients(self, images: Tensor, masks: Tensor, step: int) -> float:
        """Compute the gradients of this process's part of a batch.

        Args:
            images: As :attr:`sodcli.data.loader.Batch.images`.
            masks: As :attr:`sodcli.data.loader.Batch.masks`.
            step: Number of steps taken before; seeds the random numbers of this step.

        Returns:
            The loss summed over the N items.
        """
        torch.manual_seed(_step_seed(self._config.seed, step, self._group.rank))
        self._net.train()
        self._optimizer.zero_grad(set_to_none=True)
        pieces = list(
            zip(*(x.chunk(self._config.accumulate) for x in (images, masks)), strict=True)
        )
        losses = [
            self._piece(*piece, last=place == len(pieces))
            for place, piece in enumerate(pieces, start=1)
        ]
        return float(torch.stack(losses).sum())

    def update(self, epoch: int, step: int, rate_of: Callable[[float], float]) -> float:
        """Take an optimiser step; return the highest learning rate of the groups."""
        rate = set_rates(self._optimizer, epoch, rate_of)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self.average is not None:
            update_average(self.average, self.module, self._config.ema, step)
        return rate

    def state(self) -> dict[str, Any]:
        """Return the state needed to continue training."""
        return {
            "module": self.module.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.module.load_state_dict(state["module"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        rates = [group["base_lr"] for group in self._optimizer.param_groups]
        self._optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["base_lr"] = rate  # the config may have changed it
        self._scaler.load_state_dict(state["scaler"])

    def finite(self) -> bool:
        """Return True if no weight is NaN or infinite."""
        values = self.module.state_dict().values()
        return all(bool(v.isfinite().all()) for v in values if v.is_floating_point())

    def _autocast(self) -> AbstractContextManager[Any]:
        """Return the autocast context of the forward pass."""
        if self._config.amp == "none":
            return nullcontext()
        return torch.autocast(self._device.type, _FORMATS[self._config.amp])

    def _piece(self, images: Tensor, masks: Tensor, *, last: bool) -> Tensor:
        x = _channels_last(images.to(self._device, non_blocking=True))
        y = masks.to(self._device, non_blocking=True)
        with self._exchange(last):
            with self._autocast():
                prediction = self._net(x)
            mean = self._loss(_in_float32(prediction), y)
            weight = mean_weight(x, self._config.batch, self._group)
            self._scaler.scale(mean * weight).backward()  # type: ignore[no-untyped-call]
        return mean.detach() * len(x)

    def _exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Return a context that synchronises gradients for the last part of a batch only."""
        if last or not isinstance(self._net, DistributedDataParallel):
            return nullcontext()
        return self._net.no_sync()


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


def _channels_last(x: Tensor) -> Tensor:
    """Return pictures in channels-last memory format, which makes convolutions faster."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _in_float32(prediction: Prediction) -> Prediction:
    aux = {name: tuple(z.float() for z in side) for name, side in prediction.aux.items()}
    return Prediction(prediction.logits.float(), aux)


def _step_seed(seed: int, step: int, rank: int) -> int:
    """Return a seed for the step, so that resuming needs no saved generator state."""
    return zlib.crc32(f"{seed}:{step}:{rank}".encode())
