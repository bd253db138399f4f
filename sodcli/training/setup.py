"""What a run starts from: its pictures and its network."""

from dataclasses import dataclass

import torch
from torch import nn

from sodcli.data.loader import Loader
from sodcli.models import build_model
from sodcli.models.restore import initialise
from sodcli.registry import ModelSpec, Registry
from sodcli.training.config import TrainConfig
from sodcli.training.distributed import Team
from sodcli.training.material import Material
from sodcli.training.runfolder import RunFolder
from sodcli.weights.cache import locate
from sodcli.weights.read import read_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is carried out; none of this changes what it ends with.

    Attributes:
        device: Where to compute; of several GPUs each process takes its own.
        workers: Reading processes beside each training process.
        save_every: Seconds between checkpoints within an epoch.
    """

    device: torch.device
    workers: int = 0
    save_every: float = 300.0


@dataclass(frozen=True, slots=True)
class Job:
    """All that stays the same during a run."""

    config: TrainConfig
    spec: ModelSpec
    folder: RunFolder
    material: Material
    options: Options


def make_loader(job: Job, team: Team) -> Loader:
    """Return the loader of this process's part of every batch."""
    config, spec = job.config, job.spec
    return Loader(
        job.material.train,
        augment=config.augmentation(),
        sizes=config.sizes,
        batch=config.batch,
        seed=config.seed,
        mean=spec.mean,
        std=spec.std,
        rank=team.rank,
        world=team.world,
        workers=job.options.workers,
        drop_last=config.drop_last,
        backgrounds=job.material.backgrounds,
        clip_len=config.clip_len,
        motion=config.motion,
    )


def make_network(job: Job, registry: Registry, *, resumed: bool) -> nn.Module:
    """Build the network with weights drawn from the seed, or those of the config's ``init``.

    Args:
        job: The run.
        registry: Knows the weights that ``init`` may name.
        resumed: A checkpoint will bring the weights, so ``init`` need not be there any more.

    Raises:
        MissingError: If the weights to start from are not there.
        WeightsError: If they do not fit.
    """
    torch.manual_seed(job.config.seed)
    module = build_model(job.spec, job.config.args)
    if job.config.init and not resumed:
        initialise(module, job.spec, read_weights(locate(job.config.init, registry)))
    return module
