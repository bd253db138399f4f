"""Set-up of a training run: data, loader and network."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from sodcli.data.benchmarks import Known
from sodcli.data.clips import PAPER_CUTS, Clip, by_folder, disjoint_clips, overlapping_clips
from sodcli.data.films import (
    FilmList,
    Footage,
    find_films,
    find_footage,
    hold_out_footage,
    pseudo_pairs,
)
from sodcli.data.loader import BatchLoader
from sodcli.data.masks import check_masks, check_pairs
from sodcli.data.pairs import Pair, PairList, find_pairs, hold_out, hold_out_films, pictures_under
from sodcli.data.triples import Triple, triples_of
from sodcli.errors import MissingError
from sodcli.files import user_path
from sodcli.models import build_model
from sodcli.models.restore import initialise, norm_of
from sodcli.process import ProcessGroup
from sodcli.registry import ModelSpec, Registry
from sodcli.training.config import TrainConfig
from sodcli.training.run_folder import RunFolder
from sodcli.weights.cache import locate
from sodcli.weights.read import read_weights

Items = tuple[Pair, ...] | tuple[Clip, ...] | tuple[Triple, ...]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Data of a run.

    Attributes:
        train: Pairs to train on; clips for a clip model, triples for the pseudo-label generator.
        held: The same for validation; may be empty.
        problems: One message per problem with the folders.
        backgrounds: Photos to paste subjects on.
    """

    train: Items
    held: Items
    problems: tuple[str, ...]
    backgrounds: tuple[Path, ...] = ()

    def names(self) -> Iterator[str]:
        """Yield the file of every training picture, clip by clip."""
        return (str(pair.image) for pair in _all_pairs(self.train))

    def check_masks(self, *, fit: bool, advance: Callable[[int, int], None]) -> tuple[str, ...]:
        """Read every mask once; see :func:`sodcli.data.masks.check_masks`.

        Args:
            fit: Whether masks of another size than their picture are resized.
            advance: Called with the number of masks read and their total.

        Raises:
            SourceError: If all training masks, or all validation masks, are black or faint, or
                most of them are photos.
        """
        parts = [list(dict.fromkeys(_all_pairs(items))) for items in (self.train, self.held)]
        total = sum(len(pairs) for pairs in parts)
        done = itertools.count(1)
        remarks: list[str] = []
        for pairs in parts:
            remarks += check_masks(pairs, fit=fit, advance=lambda: advance(next(done), total))
        return tuple(dict.fromkeys(remarks))


def _all_pairs(items: Items) -> Iterator[Pair]:
    return (pair for item in items for pair in ((item,) if isinstance(item, Pair) else item.pairs))


def find_training_data(config: TrainConfig, registry: Registry) -> TrainingData:
    """Find the data that ``config`` names; hold out a share if it names no validation data.

    All validation pairs are read once, because every score depends on them. Unreadable training
    pairs are reported during training.

    Raises:
        MissingError: If a folder does not exist or holds no usable data.
        SourceError: If most masks for validation are photos.
    """
    spec, known = registry.model(config.model), registry.datasets
    backgrounds = tuple(path for folder in config.backgrounds for path in _pictures(Path(folder)))
    if spec.task == "pseudo-label":
        found = _triples(config, known)
    elif config.clip_len > 1:
        found = _clips(config, known, spec)
    else:
        found = _pairs(config, known)
    problems = found.problems
    if config.pseudo_labels and not config.val:
        problems += ("validation is on pseudo labels; --val DIR would name ground truth",)
    return replace(found, problems=problems, backgrounds=backgrounds)


def _pairs(config: TrainConfig, known: Known) -> TrainingData:
    found, given = _found(config, known)
    if config.val:
        train, held = found.pairs, given.pairs
    else:
        train, held = hold_out(found.pairs, config.holdout, config.seed)
    readable = check_pairs(held, fit=config.fit_masks)
    return TrainingData(train, readable.pairs, found.problems + given.problems + readable.problems)


def _clips(config: TrainConfig, known: Known, spec: ModelSpec) -> TrainingData:
    """Return clips; validation clips follow the test protocol of the model's paper."""
    found, given = _found(config, known)
    # Frames with pseudo labels always belong to films, even if neighbours differ much.
    films = Footage(tuple(by_folder(found.pairs)), ()) if config.pseudo_labels else None
    train, held = films or find_footage(found.pairs), find_footage(given.pairs)
    if not config.val:
        train, held = hold_out_footage(train, config.holdout, config.seed)
    readable = check_pairs(held.pairs, fit=config.fit_masks)
    cut = overlapping_clips if config.overlap else disjoint_clips
    tested = held.only(readable.pairs)
    return TrainingData(
        train.sparse(config.label_interval).clips(config.clip_len, config.gaps, cut),
        tested.clips(config.clip_len, [spec.frame_gap], PAPER_CUTS[spec.short_film]),
        found.problems + given.problems + readable.problems,
    )


def _triples(config: TrainConfig, known: Known) -> TrainingData:
    """Return triples of labelled frames; whole films are held out.

    Raises:
        MissingError: If the films to train on, or those named for validation, give no triple.
    """
    found, given = _films(config.data, known), _films(config.val, known)
    if config.val:
        train, held = found.films, given.films
    else:
        train, held = hold_out_films(found.films, config.holdout, config.seed)
    learnt, tested = (triples_of(films, config.label_interval) for films in (train, held))
    for folders, triples in ((config.data, learnt), (config.val, tested)):
        if folders and not triples:
            raise MissingError(
                f"no film of {', '.join(folders)} has three annotations left when one of "
                f"{config.label_interval} is kept; give a smaller --label-interval"
            )
    pairs = list(dict.fromkeys(pair for item in tested for pair in item.pairs))
    readable = check_pairs(pairs, fit=config.fit_masks)
    whole = tuple(item for item in tested if set(item.pairs) <= set(readable.pairs))
    return TrainingData(learnt, whole, found.remarks + given.remarks + readable.problems)


def _found(config: TrainConfig, known: Known) -> tuple[PairList, PairList]:
    """Return the pairs to train on, and those that the config names for validation."""
    if config.pseudo_labels:
        found = pseudo_pairs(config.data, Path(config.pseudo_labels), known)
    else:
        found = find_pairs(config.data)
    return found, find_pairs(config.val) if config.val else PairList((), ())


def _films(folders: Sequence[str], known: Known) -> FilmList:
    lists = [find_films(user_path(folder), (), known) for folder in folders]
    return FilmList(
        tuple({film.frames: film for one in lists for film in one.films}.values()),
        tuple(remark for one in lists for remark in one.remarks),
    )


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MissingError(f"no folder '{folder}' with backgrounds")
    return pictures_under(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings that do not change the result of a run.

    Attributes:
        device: Where to compute; with several GPUs each process uses its own.
        workers: Processes that read pictures, per training process.
        save_every: Seconds between checkpoints within an epoch.
    """

    device: torch.device
    workers: int = 0
    save_every: float = 300.0


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that stays constant during a run."""

    config: TrainConfig
    spec: ModelSpec
    folder: RunFolder
    data: TrainingData
    options: Options


def make_loader(run: Run, group: ProcessGroup) -> BatchLoader:
    """Return the loader of this process's share of every batch."""
    config, spec = run.config, run.spec
    return BatchLoader(
        run.data.train,
        augment=config.augmentation(),
        sizes=config.sizes,
        batch=config.batch,
        seed=config.seed,
        mean=spec.mean,
        std=spec.std,
        rank=group.rank,
        world=group.world_size,
        workers=run.options.workers,
        drop_last=config.drop_last,
        backgrounds=run.data.backgrounds,
        clip_len=config.clip_len,
        motion=config.motion,
        fit_masks=config.fit_masks,
    )


def make_network(
    config: TrainConfig, registry: Registry, *, resumed: bool
) -> tuple[nn.Module, TrainConfig, tuple[str, ...]]:
    """Build the network with random weights from the seed, or with the weights ``init``.

    A network whose ``norm`` the config leaves open gets that of the weights ``init``.

    Args:
        config: The settings of the run.
        registry: Models and weights.
        resumed: Skip ``init``, because a checkpoint will be loaded.

    Returns:
        The network, the config with the ``args`` that it was built with, and messages.

    Raises:
        MissingError: If the weights do not exist on this machine.
        WeightsError: If they do not fit.
    """
    spec, notes = registry.model(config.model), list[str]()
    raw = None if resumed or not config.init else read_weights(locate(config.init, registry))
    if raw is not None and "norm" in spec.args and "norm" not in config.args:
        usual, given = spec.args["norm"], norm_of(spec, raw, registry)
        if given not in (None, usual):
            config = replace(config, args={**config.args, "norm": given})
            notes.append(
                f'{spec.name} is built with norm = "{given}", as the weights of --init are, '
                f'instead of its usual "{usual}"'
            )
    torch.manual_seed(config.seed)
    module = build_model(spec, config.args)
    if raw is not None:
        initialise(module, spec, raw, registry)
    return module, config, tuple(notes)
