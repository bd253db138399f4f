"""The options of ``sod train``, so that its code stays readable."""

from pathlib import Path
from typing import Annotated

import typer

from sodcli.cli import completion

Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="RUN", help="Folder for all that the run writes.")
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
Epochs = Annotated[int | None, typer.Option(help="Passes over the data at all scales.")]
Batch = Annotated[int | None, typer.Option(help="Pictures per step, all processes together.")]
Rate = Annotated[float | None, typer.Option(help="Base learning rate.")]
Size = Annotated[int | None, typer.Option(help="Side in pixels that the recipe's scales refer to.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, order and augmentation. Default: 0.")]
Amp = Annotated[str | None, typer.Option(help="Forward pass in none, bf16 or fp16. Default: none.")]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="WEIGHTS",
        help="Start from these: a name or a file, backbones too.",
        autocompletion=completion.beginnings,
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on from RUN's checkpoint; the settings are known there."),
]
SaveEvery = Annotated[
    float, typer.Option(min=0, metavar="MINUTES", help="Time between checkpoints.")
]
Workers = Annotated[int, typer.Option(min=0, help="Reading processes.")]
