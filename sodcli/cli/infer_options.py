"""The options of ``sod infer``, so that its code stays readable."""

from typing import Annotated, Literal

import typer

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...", help="Pictures, folders, quoted globs, or - for standard input."
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE",
        help="map, green, rgba, blur, overlay, or a PICTURE to put behind the subject.",
    ),
]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", help="A file, a folder, or - for standard output."),
]
Size = Annotated[
    int | None,
    typer.Option(help="Side of the square the network sees, in pixels. Default: the weights' own."),
]
Batch = Annotated[int, typer.Option(min=1, help="Pictures per forward pass.")]
Threshold = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Cut hard: keep what is at least this salient."),
]
Refine = Annotated[
    Literal["auto", "none"], typer.Option(help="Take the old background's colour out of the edges.")
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Go into the folders of folders.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace outputs instead of skipping them.")
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be written, and do nothing.")
]
MaxPixels = Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")]
