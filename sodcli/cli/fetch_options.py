"""The options of ``sod fetch``."""

from pathlib import Path
from typing import Annotated

import typer

from sodcli.cli import completion

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        help="Weights, models or data sets of models.toml.",
        autocompletion=completion.downloads,
    ),
]
List = Annotated[bool, typer.Option("--list", help="Show everything that there is to fetch.")]
All = Annotated[bool, typer.Option("--all", help="All weights that a program can download.")]
Force = Annotated[bool, typer.Option("--force", help="Fetch again what is here already.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Hash again what is here, all of it or the NAMEs.")
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Take this file for the published one; of a set, its archive.",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Folder for data sets. Default: data in SOD_HOME."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be fetched.")]
