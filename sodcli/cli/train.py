"""``sod train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from sodcli.cli import options, ui
from sodcli.cli import train_options as opt
from sodcli.errors import SodError
from sodcli.registry import default_registry
from sodcli.training.launcher import rank, world_size

if TYPE_CHECKING:
    from sodcli.training.config import TrainConfig
    from sodcli.training.runfolder import RunFolder
    from sodcli.training.setup import Options

_MINUTE: Final = 60


def train(
    out: opt.Out,
    model: opt.Model = None,
    data: opt.Data = None,
    val: opt.Val = None,
    pseudo_labels: opt.PseudoLabels = None,
    label_interval: opt.LabelInterval = None,
    recipe: opt.Recipe = None,
    config: opt.Config = None,
    epochs: opt.Epochs = None,
    batch: opt.Batch = None,
    lr: opt.Rate = None,
    size: opt.Size = None,
    seed: opt.Seed = None,
    amp: opt.Amp = None,
    init: opt.Init = None,
    resume: opt.Resume = False,
    save_every: opt.SaveEvery = 5.0,
    workers: opt.Workers = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Train a model, and print the path of its best weights.

    Settings come from the paper's recipe, then --config, then the options here; RUN/config.toml
    keeps what they came to. Ctrl-C leaves a checkpoint to --resume from.

    [bold]torchrun --nproc-per-node 2 -m sodcli train ...[/] trains with two processes.
    """
    what = {"model": model, "recipe": recipe, "init": init, "data": data, "val": val}
    labels = {"pseudo_labels": pseudo_labels, "label_interval": label_interval}
    numbers = {"epochs": epochs, "batch": batch, "lr": lr, "size": size, "seed": seed, "amp": amp}
    from sodcli.cli.train_progress import TrainProgress
    from sodcli.training.runfolder import RunFolder
    from sodcli.training.train import train as work

    folder = RunFolder(out)
    try:
        how = _options(device, threads, workers, save_every)
        chosen = _settings(folder, config, {**what, **labels, **numbers}, resume=resume)
        with TrainProgress(quiet=quiet or rank() > 0) as reporter:
            work(chosen, folder, default_registry(), how, reporter, resume=resume)
    except KeyboardInterrupt:
        if folder.checkpoint.exists():
            ui.note(f"go on with: sod train --resume -o {out}", quiet=quiet or rank() > 0)
        raise
    except SodError as error:
        if rank() > 0:  # every process meets the same error, and the first one tells
            raise typer.Exit(error.exit_code) from error
        raise
    if rank() == 0:
        _tell(folder, as_json=json)


def _options(device: str, threads: int | None, workers: int, save_every: float) -> "Options":
    from sodcli.pipelines.device import choose_device, set_threads
    from sodcli.training.setup import Options

    if threads is not None or world_size() == 1:  # torchrun has shared the cores out
        set_threads(threads)
    return Options(device=choose_device(device), workers=workers, save_every=save_every * _MINUTE)


def _settings(
    folder: "RunFolder", file: Path | None, flags: dict[str, Any], *, resume: bool
) -> "TrainConfig":
    from sodcli.training import config

    layers = [config.read_toml(file)] if file else []
    layers.append({key: value for key, value in flags.items() if value is not None})
    if resume:
        return config.resume(folder.read(), *layers, weights=folder.last)
    return config.resolve(default_registry(), *layers)


def _tell(folder: "RunFolder", *, as_json: bool) -> None:
    best = str(folder.best if folder.best.exists() else folder.last)
    if as_json:
        ui.put_json({"run": str(folder.root), "weights": best, "epochs": folder.rows()})
    else:
        ui.put(best)
