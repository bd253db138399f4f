"""The options of ``sod eval``, so that its code stays readable."""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from sodcli.cli import completion

_REPORTS: Final = "Reports"

Maps = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]MAPS... [GT]",
        help="Folders of maps, one per method, and last the ground truth, unless --gt says it.",
    ),
]
Truth = Annotated[
    Path | None,
    typer.Option("--gt", help="Ground truth: a folder of masks, a data set, or a root of sets."),
]
Measures = Annotated[
    str,
    typer.Option(
        help="Which to take: mae, f, wf, s, e, mba, with commas. Default: all.",
        autocompletion=completion.metrics,
    ),
]
Video = Annotated[
    Literal["stdnet", "rcrnet"] | None,
    typer.Option(
        help="Score film sets as STDNet's paper does (clip by clip, without their first and last "
        "frames) or as RCRNet's (frame by frame)."
    ),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Fail where a map is missing, damaged, resized or converted."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes. Default: by the number of images, up to every core."),
]
Json = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-", help="Everything, image by image; - prints it.", rich_help_panel=_REPORTS
    ),
]
Csv = Annotated[
    Path | None, typer.Option(help="The table, for spreadsheets.", rich_help_panel=_REPORTS)
]
Xlsx = Annotated[
    Path | None,
    typer.Option(
        help="The table, and a sheet with the columns of MINet's.", rich_help_panel=_REPORTS
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        help="One page with curves, and the best and worst images.", rich_help_panel=_REPORTS
    ),
]
