"""The options of ``sod test``."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from sodcli.cli.options import COMMON

Data = Annotated[
    Path,
    typer.Option(metavar="ROOT", help="A folder of data sets, or a data set itself."),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Maps go to DIR/SET, those of a film to DIR/SET/SEQUENCE.",
    ),
]
Sets = Annotated[
    str | None,
    typer.Option(metavar="A+B", help="Data sets, such as ECSSD+PASCAL-S. Default: all of ROOT."),
]
Protocol = Annotated[
    Literal["paper", "infer"],
    typer.Option(
        help="paper: sizes, stretching, rounding and clips as published. infer: as sod infer does."
    ),
]
Backend = Annotated[
    Literal["auto", "torch", "onnx", "openvino"],
    typer.Option(
        help="What runs the network. Published numbers are PyTorch's.", rich_help_panel=COMMON
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on: keep the maps that are whole.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make maps anew that are there.")]
Score = Annotated[bool, typer.Option("--eval", help="Go on to the table of scores.")]


def set_names(sets: str | None) -> list[str]:
    """Return the names in what was typed after ``--sets``."""
    return [name for name in re.split(r"[+,]", sets or "") if name]
