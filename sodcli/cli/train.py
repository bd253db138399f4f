"""``sod train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodcli.cli import options, ui
from sodcli.errors import SodError

if TYPE_CHECKING:
    from sodcli.registry import Registry
    from sodcli.training.config import TrainConfig
    from sodcli.training.runfolder import RunFolder

_MINUTE = 60


def train(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="RUN", help="Folder for all the run writes.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A model of models.toml.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="Folder of pictures and masks, or IMAGES=MASKS; repeat."),
    ] = None,
    val: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="Validation pairs. [default: a held-back share]"),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A recipe of models.toml. [default: the model's]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Settings on top of the recipe's.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data at all scales.")] = None,
    batch: Annotated[
        int | None, typer.Option(help="Pictures per step, all processes together.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Base learning rate.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels that the recipe's scales refer to.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, order and augmentation. [default: 0]")
    ] = None,
    amp: Annotated[
        str | None, typer.Option(help="Forward pass in none, bf16 or fp16. [default: none]")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="Start from these: a name or a file, backbones too."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from RUN's checkpoint; other options may go.")
    ] = False,
    save_every: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", help="Time between checkpoints.")
    ] = 5.0,
    workers: Annotated[int, typer.Option(min=0, help="Reading processes.")] = 0,
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
    flags = {
        "model": model,
        "data": data,
        "val": val,
        "recipe": recipe,
        "epochs": epochs,
        "batch": batch,
        "lr": lr,
        "size": size,
        "seed": seed,
        "amp": amp,
        "init": init,
    }
    from sodcli.cli.train_progress import TrainProgress
    from sodcli.pipelines.device import choose_device, set_threads
    from sodcli.registry import default_registry
    from sodcli.training.distributed import rank, world_size
    from sodcli.training.runfolder import RunFolder
    from sodcli.training.setup import Options
    from sodcli.training.train import train as work

    registry, folder = default_registry(), RunFolder(out)
    if threads is not None or world_size() == 1:  # torchrun has shared the cores out
        set_threads(threads)
    try:
        how = Options(
            device=choose_device(device), workers=workers, save_every=save_every * _MINUTE
        )
        chosen = _settings(registry, folder, config, flags, resume=resume)
        with TrainProgress(quiet=quiet or rank() > 0) as reporter:
            work(chosen, folder, registry, how, reporter, resume=resume)
    except SodError as error:
        if rank() > 0:  # every process meets the same error, and the first one tells
            raise typer.Exit(error.exit_code) from error
        raise
    if rank() == 0:
        _tell(folder, as_json=json)


def _settings(
    registry: "Registry",
    folder: "RunFolder",
    file: Path | None,
    flags: dict[str, Any],
    *,
    resume: bool,
) -> "TrainConfig":
    from sodcli.training import config

    layers = [config.read_toml(file)] if file else []
    layers.append({key: value for key, value in flags.items() if value is not None})
    if resume:
        return config.resume(folder.read(), *layers)
    return config.resolve(registry, *layers)


def _tell(folder: "RunFolder", *, as_json: bool) -> None:
    best = str(folder.best if folder.best.exists() else folder.last)
    if as_json:
        ui.put_json({"run": str(folder.root), "weights": best, "epochs": folder.rows()})
    else:
        ui.put(best)
