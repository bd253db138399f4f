"""The options of ``sod infer``, so that its code stays readable."""

from typing import Annotated, Final, Literal

import typer

from sodcli.cli import completion

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Pictures, films, folders, quoted globs, - for standard input, or 0 for a camera.",
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE",
        help="map, green, rgba, blur, overlay; or what to put behind the subject: white, black, "
        "grey, '#rrggbb', or a PICTURE or film.",
        autocompletion=completion.types,
    ),
]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", help="A file, a folder, or - for standard output."),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="How pictures are written: png, jpg, webp, avif, tiff or bmp. Default: png, or as -o.",
        autocompletion=completion.formats,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(help="Side of the square the network sees, in pixels. Default: the weights' own."),
]
Batch = Annotated[int, typer.Option(min=1, help="Pictures per forward pass.")]


def _batch(given: str | int) -> str | int:
    """Read ``auto`` or a number from 1 on."""
    text = str(given)
    if text == "auto" or (text.isdecimal() and int(text)):
        return text
    raise typer.BadParameter(f"{text!r} is neither auto nor a number from 1 on")


AutoBatch = Annotated[
    str,
    typer.Option(
        metavar="N",
        parser=_batch,
        help="Pictures per forward pass. auto finds out what is fastest; of clips it is 1.",
    ),
]
Compress = Annotated[
    int | None,
    typer.Option(
        min=0, max=9, help="How hard PNG is packed: 0 not at all, 9 long. Default: fast and well."
    ),
]
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

FILM: Final = "Films"


def _seconds(given: str | float) -> float:
    """Read ``90``, ``1:30`` or ``0:01:30.5``."""
    text, total = str(given), 0.0
    try:
        for part in text.split(":"):
            total = total * 60 + float(part)
    except ValueError:
        total = -1.0
    if not (0 <= total < float("inf")) or text.count(":") > 2:
        raise typer.BadParameter(f"{text!r} is no time; write 90, 1:30 or 0:01:30.5")
    return total


Start = Annotated[
    float,
    typer.Option(
        metavar="TIME",
        parser=_seconds,
        help="Begin there: seconds, or HH:MM:SS.",
        rich_help_panel=FILM,
    ),
]
Frames = Annotated[
    int | None, typer.Option(min=1, help="Stop after so many frames.", rich_help_panel=FILM)
]
Audio = Annotated[
    bool, typer.Option("--audio/--no-audio", help="Keep the sound.", rich_help_panel=FILM)
]
Codec = Annotated[
    str,
    typer.Option(
        help="auto, h264, h265, vp9, av1, prores, ffv1, gif, webp, apng, or png for frames.",
        autocompletion=completion.codecs,
        rich_help_panel=FILM,
    ),
]

CAMERA: Final = "Camera"

Show = Annotated[
    bool | None,
    typer.Option(
        "--show/--no-show",
        help="Open a window; q, Esc or closing it ends. Default: where there is a display.",
        rich_help_panel=CAMERA,
    ),
]
ShowFps = Annotated[
    bool,
    typer.Option(
        "--show-fps", help="Write the frames per second into the window.", rich_help_panel=CAMERA
    ),
]
