"""``sod infer``: its options and the settings that they make."""

from typing import Annotated, Final, Literal

import typer

from sodcli.cli import completion, options
from sodcli.cli.infer_camera import infer_camera
from sodcli.cli.infer_files import infer_files
from sodcli.cli.loading import NetworkOptions
from sodcli.files.reading import MAX_PIXELS
from sodcli.registry import default_registry

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


def infer(
    sources: Sources,
    kind: Kind = "rgba",
    out: Out = None,
    form: Format = None,
    model: options.Model = None,
    weights: options.Weights = None,
    size: options.Size = None,
    batch: AutoBatch = "auto",
    threshold: Threshold = None,
    refine: Refine = "auto",
    recursive: Recursive = False,
    compress: Compress = None,
    overwrite: Overwrite = False,
    fail_fast: FailFast = False,
    dry_run: DryRun = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    start: Start = 0.0,
    frames: Frames = None,
    audio: Audio = True,
    codec: Codec = "auto",
    show: Show = None,
    show_fps: ShowFps = False,
    offline: options.Offline = False,
    device: options.Device = "auto",
    half: options.Half = False,
    backend: options.Backend = "auto",
    compiled: options.Compile = False,
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    traceback: options.Traceback = False,
) -> None:
    """Find the subject of each picture or film and write it the way you ask for.

    [bold]sod infer photo.jpg[/] writes photo_rgba.png beside it and prints that path.

    [bold]sod infer shop/ -t white --format jpg[/] puts every subject on white, -t beach.jpg there.

    [bold]sod infer clip.mp4 -t blur[/] writes clip_blur.mp4, with its sound. A cut-out film is a
    .mov with real transparency; -o clip.webm and -o FOLDER/ (PNG frames) have it, too.

    [bold]sod infer 0 -t blur[/] shows the first camera in a window; -o records it.

    [bold]torchrun --nproc-per-node 2 -m sodcli infer FOLDER[/] shares the files out.
    """
    from sodcli.io.camera.capture import camera_number
    from sodcli.io.films.formats import check_codec
    from sodcli.io.settings import InferSettings, choose_style
    from sodcli.runtime.model_source import require_maps

    check_codec(codec)
    settings = InferSettings(
        sources=tuple(sources),
        styles=(choose_style(kind, refine=refine == "auto", max_pixels=max_pixels),),
        out=out,
        form=form,
        recursive=recursive,
        overwrite=overwrite,
        fail_fast=fail_fast,
        dry_run=dry_run,
        threshold=threshold,
        batch=None if batch == "auto" else int(batch),
        max_pixels=max_pixels,
        compress=compress,
        start_s=start,
        frames=frames,
        audio=audio,
        codec=codec,
        show=show,
        show_fps=show_fps,
        json=json,
        quiet=quiet,
        verbose=verbose,
    )
    require_maps(model, weights, default_registry())  # before PyTorch: a typo is told at once
    network = NetworkOptions(
        model=model,
        weights=weights,
        half=half,
        size=size,
        threads=threads,
        offline=offline,
        backend=backend,
        compiled=compiled,
        verbose=verbose,
    )
    number = camera_number(sources)
    if number is None:
        infer_files(settings, network, device)
    else:
        infer_camera(number, settings, network, device)
