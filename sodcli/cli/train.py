"""``sod train``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sodcli.cli import completion, options, ui
from sodcli.process import rank, world_size
from sodcli.registry import default_registry

if TYPE_CHECKING:
    from sodcli.training.config import TrainConfig
    from sodcli.training.report import Reporter
    from sodcli.training.run_folder import RunFolder
    from sodcli.training.setup import Options

Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="RUN", help="Folder of everything that the run writes."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="A model of models.toml.", autocompletion=completion.trainable
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(metavar="DIR", help="Folder of pictures and masks, or IMAGES=MASKS; repeatable."),
]
Val = Annotated[
    list[str] | None,
    typer.Option(metavar="DIR", help="Validation pairs. Default: a held-back share of --data."),
]
PseudoLabels = Annotated[
    str | None,
    typer.Option(metavar="DIR/M_L", help="Films' labels from sod pseudo-label, instead of masks."),
]
LabelInterval = Annotated[
    int | None, typer.Option(metavar="L", help="Keep one annotation of L of each film.")
]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="A recipe of models.toml. Default: the model's own.",
        autocompletion=completion.recipes,
    ),
]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="Settings on top of the recipe's.")
]
FitMasks = Annotated[
    bool, typer.Option("--fit-masks", help="Resize masks of another size than their picture.")
]
Epochs = Annotated[
    int | None,
    typer.Option(help="Passes over the data at all scales; --resume with more of them continues."),
]
ScheduleEnd = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="EPOCHS",
        help="Epoch at which the learning rate reaches its final value. Default: the last epoch.",
    ),
]
Batch = Annotated[int | None, typer.Option(help="Pictures per step, all processes together.")]
Rate = Annotated[float | None, typer.Option(help="Base learning rate.")]
Size = Annotated[int | None, typer.Option(help="Side in pixels that the recipe's scales refer to.")]
Seed = Annotated[
    int | None, typer.Option(help="Seed of weights, order and augmentation. Default: 0.")
]
Amp = Annotated[str | None, typer.Option(help="Forward pass in none, bf16 or fp16. Default: none.")]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="WEIGHTS",
        help="Initial weights: a name or a file; backbones also work.",
        autocompletion=completion.beginnings,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue RUN with its settings; --epochs and --lr may change.",
    ),
]
SaveEvery = Annotated[
    float, typer.Option(min=0, metavar="MINUTES", help="Time between checkpoints.")
]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read the data.")]
TensorBoard = Annotated[
    bool,
    typer.Option(
        "--tensorboard", help="Also write RUN/events; needs pip install 'sodcli[tensorboard]'."
    ),
]


_MINUTE: Final = 60


def train(
    out: Out,
    model: Model = None,
    data: Data = None,
    val: Val = None,
    pseudo_labels: PseudoLabels = None,
    label_interval: LabelInterval = None,
    recipe: Recipe = None,
    config: Config = None,
    fit_masks: FitMasks = False,
    epochs: Epochs = None,
    schedule_end: ScheduleEnd = None,
    batch: Batch = None,
    lr: Rate = None,
    size: Size = None,
    seed: Seed = None,
    amp: Amp = None,
    init: Init = None,
    resume: Resume = False,
    save_every: SaveEvery = 5.0,
    workers: Workers = 0,
    tensorboard: TensorBoard = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Train a model, and print the path of its best weights.

    Settings come from the paper's recipe, then --config, then the options here; RUN/config.toml
    records the result. Ctrl-C writes a checkpoint, from which --resume continues.

    [bold]torchrun --nproc-per-node 2 -m sodcli train ...[/] trains with two processes.
    """
    flags: dict[str, Any] = {"model": model, "recipe": recipe, "init": init, "data": data}
    flags |= {"val": val, "pseudo_labels": pseudo_labels, "label_interval": label_interval}
    flags |= {"fit_masks": True if fit_masks else None, "schedule_end": schedule_end}
    flags |= {"epochs": epochs, "batch": batch, "lr": lr, "size": size, "seed": seed, "amp": amp}
    from sodcli.cli.train_progress import TrainProgress
    from sodcli.training.report import Broadcast
    from sodcli.training.run_folder import RunFolder
    from sodcli.training.trainer import train as work

    folder = RunFolder(out)
    try:
        how = _options(device, threads, workers, save_every)
        chosen, remarks = _settings(folder, config, flags, resume=resume)
        for remark in remarks if rank() == 0 and not quiet else ():
            ui.warn(remark)
        with TrainProgress(quiet=quiet or rank() > 0) as progress:
            reporter = Broadcast(progress, *_tensorboard(folder, wanted=tensorboard))
            work(chosen, folder, default_registry(), how, reporter, resume=resume)
    except KeyboardInterrupt:
        if folder.checkpoint.exists():
            command = f"sod train --resume -o {shlex.quote(str(out))}"
            ui.note(f"go on with: {command}", quiet=quiet or rank() > 0)
        raise
    if rank() == 0:
        _print_outcome(folder, as_json=json)


def _options(device: str, threads: int | None, workers: int, save_every: float) -> "Options":
    from sodcli.runtime.device import choose_device, keep_freed_memory, set_threads
    from sodcli.training.setup import Options

    if threads is not None or world_size() == 1:  # torchrun has divided the cores
        set_threads(threads)
    target = choose_device(device)
    if target.type == "cpu":
        keep_freed_memory()
    return Options(device=target, workers=workers, save_every=save_every * _MINUTE)


def _tensorboard(folder: "RunFolder", *, wanted: bool) -> "list[Reporter]":
    if not wanted:
        return []
    from sodcli.training.report import TensorBoard

    return [TensorBoard(folder.events)]


def _settings(
    folder: "RunFolder", file: Path | None, flags: dict[str, Any], *, resume: bool
) -> "tuple[TrainConfig, tuple[str, ...]]":
    from sodcli.training import config

    layers = [config.read_toml(file)] if file else []
    layers.append({key: value for key, value in flags.items() if value is not None})
    if resume:
        chosen, remarks = config.resume(folder.read(), *layers, weights=folder.last)
        if folder.metrics.exists() and not folder.checkpoint.exists():
            remarks += (
                f"{folder.checkpoint} is missing: the run starts again from its first epoch",
            )
        return chosen, remarks
    chosen = config.resolve(default_registry(), *layers)
    return chosen, config.kept_groups(default_registry(), chosen)


def _print_outcome(folder: "RunFolder", *, as_json: bool) -> None:
    best = str(folder.best if folder.best.exists() else folder.last)
    if as_json:
        ui.print_json({"run": str(folder.root), "weights": best, "epochs": folder.rows()})
    else:
        ui.print_line(best)
