"""What a run starts from: its pairs and its network."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sodcli.data.check import check_pairs
from sodcli.data.layouts import pictures_under
from sodcli.data.loader import Loader
from sodcli.data.pairs import Pair, PairList, find_pairs
from sodcli.data.split import hold_out
from sodcli.errors import MissingError
from sodcli.models import build_model
from sodcli.models.restore import initialise
from sodcli.registry import ModelSpec, Registry
from sodcli.training.config import TrainConfig
from sodcli.training.distributed import Team
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
class Material:
    """The pictures of a run.

    Attributes:
        train: Pairs to learn from.
        held: Pairs to validate on; may be empty.
        backgrounds: Photos to paste subjects on.
        problems: What is wrong with the folders, a line each.
    """

    train: tuple[Pair, ...]
    held: tuple[Pair, ...]
    backgrounds: tuple[Path, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """All that stays the same during a run."""

    config: TrainConfig
    spec: ModelSpec
    folder: RunFolder
    material: Material
    options: Options


def find_material(config: TrainConfig) -> Material:
    """Find the pairs that ``config`` names and hold some back, if it names none to validate on.

    The validation pairs, which every score depends on, are all read once; training pairs that
    cannot be read are reported when their turn comes.

    Raises:
        MissingError: If a folder does not exist or holds nothing of use.
    """
    found = find_pairs(config.data)
    backgrounds = tuple(path for folder in config.backgrounds for path in _pictures(Path(folder)))
    if config.val:
        train, held = found.pairs, find_pairs(config.val)
    else:
        train, kept = hold_out(found.pairs, config.holdout, config.seed)
        held = PairList(kept, ())
    readable = check_pairs(held.pairs)
    problems = found.problems + held.problems + readable.problems
    return Material(train, readable.pairs, backgrounds, problems)


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


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MissingError(f"no folder '{folder}' with backgrounds")
    return pictures_under(folder)
