"""Settings of a training run, merged from the recipe, a file and the command line."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from sodcli.data.augment import Augment
from sodcli.errors import RegistryError, UsageError
from sodcli.files import read_settings, user_path
from sodcli.registry import ModelSpec, Registry
from sodcli.tables import (
    Length,
    NotNegative,
    Range,
    check_fields,
    flattened,
    merge,
    read_table,
    to_toml,
)
from sodcli.text import plural, reason_of
from sodcli.training.losses import get_loss
from sodcli.training.optim import DECOUPLED, OptimizerConfig
from sodcli.training.schedule import Constant, MultiStep, Schedule, make_schedule

_STRIDE: Final = 16
_MIN_SIDE: Final = 32
_PATH_LISTS: Final = ("data", "val", "backgrounds")
Count = Annotated[int, Range(least=1)]
_ELSEWHERE: Final = {  # where settings are that other programs have beside the optimiser's name
    "lr": "the base learning rate is lr, above the first [table]",
    "weight_decay": "it is one of the keys of groups, as in groups = [{ weight_decay = 1e-4 }]",
}
_MAY_CHANGE: Final = frozenset(
    {"epochs", "lr", "schedule_end", "validate_every", "sample_every", "samples", "max_skipped"}
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings that affect the result: equal configs give equal weights.

    Attributes:
        model: Name in models.toml.
        recipe: Recipe in models.toml that the settings are based on; empty for none.
        data: Folders of training pairs.
        val: Folders of validation pairs; without them, ``holdout`` of the training pairs.
        holdout: Share of the training pairs that is held out for validation.
        pseudo_labels: Folder ``M_L`` that ``sod pseudo-label`` wrote for the films of ``data``,
            to train on these labels instead of all ground truth.
        label_interval: Train on every n-th annotation of each film.
        backgrounds: Folders of photos that subjects may be pasted on.
        fit_masks: Resize masks of another size than their picture, instead of skipping the pair.
        args: Keyword arguments for the model's ``build``, over those of models.toml.
        init: Weights to start from: a name in models.toml or a path; empty for none.
        epochs: Passes over all sizes.
        batch: Items per optimiser step, over all processes.
        accumulate: Parts that each process splits its share of a batch into, to save memory.
        lr: Base learning rate.
        size: Side of the network input in pixels; validation uses this size.
        scales: Factors of ``size``; an epoch is one pass over the data at each of them.
        drop_last: Drop the last batch of a pass if it is not full.
        seed: Seed of weights, order and augmentation.
        amp: Number format of the forward pass.
        ema: Decay of the running average of the weights, which is validated and saved instead of
            them; 0 for none.
        clip_len: Frames of a clip; 1 for image models.
        gaps: Distances in the film between neighbouring frames of a clip; every film is cut into
            clips at each distance.
        overlap: Whether neighbouring clips of a film share a frame (RCRNet).
        motion: Probability that a photo is animated instead of repeated as a clip.
        half: Save the exported weights in float16; checkpoints keep full precision.
        loss: Name of the loss.
        optimizer: Algorithm and parameter groups.
        schedule: ``name`` and options of the learning-rate schedule.
        schedule_end: Epochs that the schedule covers, after which its last rate is kept; 0 for
            ``epochs``.
        augment: Fields of :class:`sodcli.data.augment.Augment`.
        monitor: Score that selects the best weights.
        validate_every: Epochs between validations.
        sample_every: Epochs between sheets of sample pictures; 0 for none.
        samples: Pictures per sheet.
        max_skipped: Share of an epoch's pictures that may be unreadable.
    """

    model: str
    data: Annotated[tuple[str, ...], Length(1, "name at least one folder")]
    epochs: Count
    batch: Count
    lr: Annotated[float, Range(above=0)]
    size: Annotated[int, Range(least=_MIN_SIDE)]
    loss: str
    recipe: str = ""
    val: tuple[str, ...] = ()
    holdout: Annotated[float, Range(least=0, below=1)] = 0.05
    pseudo_labels: str = ""
    label_interval: Count = 1
    backgrounds: tuple[str, ...] = ()
    fit_masks: bool = False
    args: Mapping[str, Any] = field(default_factory=dict)
    init: str = ""
    accumulate: Count = 1
    scales: Annotated[tuple[float, ...], Length(1, "have at least one factor"), Range(above=0)] = (
        1.0,
    )
    drop_last: bool = False
    seed: Annotated[int, Range(least=0, most=2**63 - 1)] = 0
    amp: Literal["none", "bf16", "fp16"] = "none"
    ema: Annotated[float, Range(least=0, below=1)] = 0.0
    clip_len: Count = 1
    gaps: Annotated[tuple[int, ...], Length(1, "have at least one distance"), Range(least=1)] = (
        1,
        4,
        8,
    )
    overlap: bool = False
    motion: Annotated[float, Range(least=0, most=1)] = 0.0
    half: bool = False
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: Mapping[str, Any] = field(default_factory=lambda: {"name": "constant"})
    schedule_end: Annotated[int, Range(least=0)] = 0
    augment: Mapping[str, Any] = field(default_factory=dict)
    monitor: Literal["maxF", "MAE"] = "maxF"
    validate_every: Count = 1
    sample_every: Annotated[int, Range(least=0)] = 5
    samples: Count = 4
    max_skipped: NotNegative = 0.1

    def __post_init__(self) -> None:
        check_fields(self, "settings")
        get_loss(self.loss)
        self.rates()
        self.augmentation()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Side in pixels of each pass of an epoch: multiples of 16, at least 32."""
        nearest = (round(scale * self.size / _STRIDE) * _STRIDE for scale in self.scales)
        return tuple(max(side, _MIN_SIDE) for side in nearest)

    def rates(self) -> Schedule:
        """Return the learning-rate schedule."""
        return make_schedule(self.schedule)

    def augmentation(self) -> Augment:
        """Return the augmentation."""
        return read_table(Augment, self.augment, "augment")

    def toml(self) -> str:
        """Return the config as TOML, which :func:`read_config` reads back."""
        return to_toml(asdict(self))


def read_config(path: Path) -> TrainConfig:
    """Read a complete config.

    Raises:
        UsageError: If it is missing, is not TOML, or has unknown or invalid keys.
    """
    return read_table(TrainConfig, read_toml(path), str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Parse ``path``.

    Raises:
        UsageError: If it does not exist or is not valid TOML.
    """
    try:
        return tomllib.loads(read_settings(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: {reason_of(error)}") from error


def resolve(registry: Registry, *layers: Mapping[str, Any]) -> TrainConfig:
    """Merge ``layers`` (file, flags) over the recipe named by them or by the model's entry.

    Raises:
        UsageError: If model or data are missing, a key or value is invalid, or the name of a folder
            is not UTF-8.
    """
    wanted = _merge(*layers)
    if "model" not in wanted:
        raise UsageError("no model to train; add --model NAME")
    for key in ("model", "recipe"):
        _require(isinstance(wanted.get(key, ""), str), f"{key} is a name")
    spec = registry.model(wanted["model"])
    if spec.task == "flow":
        raise UsageError(f"{spec.name!r} finds optical flow and is used as published, not trained")
    recipe = wanted.get("recipe", spec.recipe) or ""
    own = {"recipe": recipe, "clip_len": spec.clip_len}
    table = _merge(own, recipe_table(registry, recipe), *layers)
    if "data" not in table:
        raise UsageError("no pictures to train on; add --data FOLDER")
    optimizer = table.get("optimizer")
    for key, place in _ELSEWHERE.items():
        found = isinstance(optimizer, Mapping) and key in optimizer
        _require(not found, f"unknown key 'optimizer.{key}': {place}")
    config = read_table(TrainConfig, _absolute(table), "settings")
    for name in (*config.data, *config.val, *config.backgrounds, config.pseudo_labels):
        _require(
            name == name.encode(errors="replace").decode(),
            f"config.toml cannot hold the name of {name}, which is not UTF-8; rename it",
        )
    _check_fit(config, spec)
    return config


def kept_groups(registry: Registry, config: TrainConfig) -> tuple[str, ...]:
    """Return a message if another optimiser than the recipe's uses the recipe's groups."""
    recipe = recipe_table(registry, config.recipe).get("optimizer", {})
    base, own = read_table(OptimizerConfig, recipe, "optimizer"), config.optimizer
    if own.name == base.name or own.groups != base.groups or not own.groups:
        return ()
    decoupled = own.name in DECOUPLED
    kind = "decoupled" if decoupled else "an L2 penalty"
    decay = f"; their weight decay is {kind} now" if decoupled != (base.name in DECOUPLED) else ""
    return (
        f"optimizer {own.name} in place of {base.name}: the recipe's "
        f"{plural(len(own.groups), 'parameter group')} stay (groups = [...] replaces them){decay}",
    )


def resume(
    saved: TrainConfig, *layers: Mapping[str, Any], weights: Path | None = None
) -> tuple[TrainConfig, tuple[str, ...]]:
    """Return the config to resume ``saved`` with, after applying ``layers`` (file, flags).

    The number of epochs may increase; the learning rate, the end of the schedule and the validation
    interval may change. The run continues with its weights and optimiser state.

    Args:
        saved: The config of the run.
        layers: Settings given now.
        weights: Weights of the run, if they exist; a new run may start from them.

    Returns:
        The config, and a message for each change that makes the result differ from that of a run
        with these settings from the start.

    Raises:
        UsageError: If the number of epochs decreases or another setting differs; the message names
            it.
    """
    new = read_table(TrainConfig, _merge(asdict(saved), _absolute(_merge(*layers))), "--resume")
    changed = {key for key in asdict(saved) if getattr(saved, key) != getattr(new, key)}
    kept = replace(new, **{key: getattr(saved, key) for key in changed & _MAY_CHANGE})
    refused = differences(saved, kept)
    if new.epochs < saved.epochs:
        refused.insert(0, f"epochs was {saved.epochs}, now {new.epochs}: only more can follow")
    if refused:
        there = weights is not None and weights.exists()
        again = f" from its weights: -o NEW --init {weights}" if there else ""
        raise UsageError(
            f"cannot resume with another configuration: {'; '.join(refused)}; "
            f"leave the options out, or start a new run{again}"
        )
    return new, tuple(_continuation(saved, new))


def _continuation(saved: TrainConfig, new: TrainConfig) -> Iterator[str]:
    """Yield the changes because of which a resumed run does not exactly continue the old one."""
    if new.lr != saved.lr:
        yield f"lr was {saved.lr:g}, now {new.lr:g}: the run goes on at another rate"
    before, after = saved.schedule_end or saved.epochs, new.schedule_end or new.epochs
    rates = new.rates()
    # The milestones of a multistep schedule stay where they are; only an early end holds its rate.
    unmoved = isinstance(rates, MultiStep) and min(before, after) >= saved.epochs
    if before != after and not unmoved and not isinstance(rates, Constant):
        yield (
            f"the schedule now ends at epoch {after} instead of {before}: rates differ from those "
            f"of a run of {plural(new.epochs, 'epoch')} from the start; "
            f"--schedule-end {before} keeps it"
        )


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Return a message for every setting in which the two configs differ."""
    before, after = flattened(asdict(old)), flattened(asdict(new))
    return [
        f"{key} was {before.get(key, 'not set')}, now {after.get(key, 'not set')}"
        for key in before | after
        if before.get(key) != after.get(key)
    ]


def recipe_table(registry: Registry, name: str) -> dict[str, Any]:
    """Return the recipe ``name`` merged over the recipes that its key ``base`` refers to.

    Raises:
        UsageError: If one of them does not exist.
        RegistryError: If their ``base`` keys form a cycle.
    """
    chain: list[Mapping[str, Any]] = []
    seen: list[str] = []
    while name:
        if name in seen:
            raise RegistryError(f"models.toml [recipes.{name}]: base leads back to itself")
        seen.append(name)
        table = dict(registry.recipe(name).table)
        name = table.pop("base", "")
        chain.append(table)
    return _merge(*reversed(chain))


def _merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge settings; options of one schedule are not those of another."""
    return merge(*layers, by_name={"schedule"})


def _absolute(table: Mapping[str, Any]) -> dict[str, Any]:
    """Make paths absolute, so that a run can be resumed from another folder."""
    fixed = dict(table)
    for key in _PATH_LISTS:
        if isinstance(table.get(key), list | tuple):
            fixed[key] = [_absolute_folder(name) for name in table[key]]
    if isinstance(table.get("init"), str) and Path(table["init"]).is_file():
        fixed["init"] = os.path.realpath(table["init"])
    if table.get("pseudo_labels"):
        fixed["pseudo_labels"] = _absolute_folder(table["pseudo_labels"])
    return fixed


def _absolute_folder(name: Any) -> Any:
    """Resolve a folder, or the two of ``IMAGES=MASKS``; other values are checked later."""
    if not isinstance(name, str) or "\0" in name:
        return name
    if user_path(name).is_dir():
        return os.path.realpath(user_path(name))
    return "=".join(os.path.realpath(user_path(part)) for part in name.split("=", 1))


def _check_fit(config: TrainConfig, spec: ModelSpec) -> None:
    """Raise UsageError for settings that do not apply to the kind of model."""
    films, generator = spec.clip_len > 1, spec.task == "pseudo-label"
    if (config.clip_len > 1) != films:
        kind = "clips of a film" if films else "pictures"
        raise UsageError(f"settings: clip_len = {config.clip_len}, but {spec.name!r} takes {kind}")
    if config.label_interval > 1 and (config.pseudo_labels or not (films or generator)):
        raise UsageError(
            f"settings: label_interval = {config.label_interval} thins the ground truth of films, "
            "which clip models and fgplg learn from; pseudo labels and pictures are not thinned"
        )
    changed = replace(config.augmentation(), reverse=0.0) != Augment()
    if generator and (config.pseudo_labels or config.backgrounds or changed):
        raise UsageError(
            f"settings: {spec.name!r} learns from ground truth as it is; leave out pseudo_labels, "
            "backgrounds, and all of augment but reverse"
        )


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(f"settings: {message}")
