"""``sod infer``: its options and the settings that they make."""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from sodcli.cli import completion, options
from sodcli.cli.infer_camera import infer_camera
from sodcli.cli.infer_files import infer_files
from sodcli.cli.loading import NetworkOptions
from sodcli.files.reading import MAX_PIXELS
from sodcli.registry import default_registry

_PHOTOS: Final = "Photos"
_FILMS: Final = "Films"
_CAMERA: Final = "Camera"


def _batch(text: str) -> str:
    """Check that it is ``auto`` or a number from 1 on."""
    if text == "auto" or (text.isdecimal() and int(text)):
        return text
    raise typer.BadParameter(f"{text!r} is neither auto nor a number from 1 on")


def _seconds(given: str | float) -> float:
    """Read ``90``, ``1:30`` or ``0:01:30.5``."""
    text, total = str(given), 0.0
    try:
        for part in text.split(":"):
            total = total * 60 + float(part)
    except ValueError:
        total = -1.0
    if not (0 <= total < float("inf")) or text.count(":") > 2 or ":-" in text:
        raise typer.BadParameter(f"{text!r} is no time; write 90, 1:30 or 0:01:30.5")
    return total


def _duration(given: str | float) -> float:
    """Read a time like :func:`_seconds`, of a microsecond or more."""
    total = _seconds(given)
    if round(total, 6) == 0:
        raise typer.BadParameter("must be above 0")
    return total


Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Pictures, films, folders, quoted globs, - for standard input, or 0 for a camera.",
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE",
        help="rgba (a cut-out), map, green, blur, overlay, reverse (the subject cut away); or what "
        "to put behind the subject: a CSS colour such as white or '#rrggbb', or the path of a "
        "picture or film. Several -t write several results. Default: rgba.",
        autocompletion=completion.types,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="A file, a folder, or - for standard output. Default: beside each source.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing outputs; by default they are skipped.")
]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Search sub-folders.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be written and stop.")]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="png, jpg, webp, avif, tiff or bmp. Default: png, or the suffix of -o.",
        autocompletion=completion.formats,
        rich_help_panel=_PHOTOS,
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=100,
        metavar="N",
        help="0 to 100, for jpg, webp, avif and lossy films. Default: 95; films by their codec. "
        "18 s of ProRes at 854x480 take 140 MB, of VP9 about 3.",
        rich_help_panel=_PHOTOS,
    ),
]
Crop = Annotated[
    bool,
    typer.Option("--crop", help="Crop each photo to its subject.", rich_help_panel=_PHOTOS),
]
Margin = Annotated[
    str | None,
    typer.Option(
        metavar="5%|20px",
        help="Space around the subject; implies --crop. Default: 5%.",
        rich_help_panel=_PHOTOS,
    ),
]
Canvas = Annotated[
    str | None,
    typer.Option(
        metavar="WxH|square",
        help="Fit the subject onto a canvas; implies --crop.",
        rich_help_panel=_PHOTOS,
    ),
]
Report = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.html",
        help="Write a page of results, the least certain first.",
        rich_help_panel=_PHOTOS,
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Use this mask instead of the network; of a folder, the one with the photo's name, in "
        "its sub-folder or at the top: a photo without one fails.",
        rich_help_panel=_PHOTOS,
    ),
]
Box = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,W,H",
        help="Search only this part of the photo, in pixels.",
        rich_help_panel=_PHOTOS,
    ),
]
Clean = Annotated[
    bool,
    typer.Option(
        "--clean/--no-clean",
        help="Remove specks, fill pinholes, make nearly opaque areas opaque; not in map and "
        "overlay, and not in masks given by --mask.",
        rich_help_panel=_PHOTOS,
    ),
]
Refine = Annotated[
    Literal["auto", "none"],
    typer.Option(
        metavar="auto|none",
        help="Remove the old colour from soft edges.",
        rich_help_panel=_PHOTOS,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="X",
        help="Make hard edges: opaque from this saliency on, 0 to 1.",
        rich_help_panel=_PHOTOS,
    ),
]
Compress = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=9,
        metavar="N",
        help="PNG compression level, 0 to 9. Default: fast.",
        rich_help_panel=_PHOTOS,
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Refuse larger pictures.", rich_help_panel=_PHOTOS),
]
Start = Annotated[
    float,
    typer.Option(
        metavar="TIME",
        parser=_seconds,
        help="Start at this time: seconds, or HH:MM:SS.",
        rich_help_panel=_FILMS,
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(
        metavar="TIME",
        parser=_duration,
        help="Process this much of a film: seconds, or HH:MM:SS.",
        rich_help_panel=_FILMS,
    ),
]
Rate = Annotated[
    str | None,
    typer.Option(
        metavar="FPS",
        help="Frames per second of a film made from pictures.",
        rich_help_panel=_FILMS,
    ),
]
Sound = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Use the sound of this file instead, also from --start on.",
        rich_help_panel=_FILMS,
    ),
]
Steady = Annotated[
    Literal["auto", "none"],
    typer.Option(
        metavar="auto|none",
        help="Reduce flicker along the motion, for models that see single frames.",
        rich_help_panel=_FILMS,
    ),
]
Frames = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Stop after this many frames.", rich_help_panel=_FILMS),
]
Audio = Annotated[
    bool, typer.Option("--audio/--no-audio", help="Keep the audio track.", rich_help_panel=_FILMS)
]
Codec = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto, h264, h265, vp9, av1, prores, ffv1, gif, webp, apng, or png for frames.",
        autocompletion=completion.codecs,
        rich_help_panel=_FILMS,
    ),
]
Show = Annotated[
    bool | None,
    typer.Option(
        "--show/--no-show",
        help="Open a window. Default: where there is a display.",
        rich_help_panel=_CAMERA,
    ),
]
ShowFps = Annotated[
    bool,
    typer.Option("--show-fps", help="Show the frame rate in the window.", rich_help_panel=_CAMERA),
]
AutoBatch = Annotated[
    str,
    typer.Option(
        metavar="N",
        parser=_batch,
        help="Pictures per forward pass. Default: auto, by timing a few.",
        rich_help_panel=options.NETWORK,
    ),
]


def infer(
    sources: Sources,
    kinds: Kinds = None,
    out: Out = None,
    model: options.Model = None,
    overwrite: Overwrite = False,
    recursive: Recursive = False,
    dry_run: DryRun = False,
    fail_fast: FailFast = False,
    form: Format = None,
    quality: Quality = None,
    crop: Crop = False,
    margin: Margin = None,
    canvas: Canvas = None,
    report: Report = None,
    mask: Mask = None,
    box: Box = None,
    clean: Clean = True,
    refine: Refine = "auto",
    threshold: Threshold = None,
    compress: Compress = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    start: Start = 0.0,
    duration: Duration = None,
    frames: Frames = None,
    steady: Steady = "auto",
    rate: Rate = None,
    sound: Sound = None,
    audio: Audio = True,
    codec: Codec = "auto",
    show: Show = None,
    show_fps: ShowFps = False,
    weights: options.Weights = None,
    size: options.Size = None,
    batch: AutoBatch = "auto",
    backend: options.Backend = "auto",
    half: options.Half = False,
    compiled: options.Compile = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    traceback: options.Traceback = False,
) -> None:
    """Find the subject of each picture or film and cut it out, or put something behind it.

    [bold]sod infer photo.jpg[/] writes photo_rgba.png beside it and prints that path.

    [bold]sod infer shop/ -t white --canvas 1000x1000 --format jpg[/] puts every subject of a folder
    on a white square, [bold]-t beach.jpg[/] on a picture.

    [bold]sod infer clip.mp4 -t blur[/] writes clip_blur.mp4 with its sound. Cut-out films are .mov
    files with transparency; -o clip.webm and -o FOLDER/ (PNG frames) have it, too.

    [bold]sod infer 0 -t blur[/] shows the first camera in a window; -o records it.

    [bold]torchrun --nproc-per-node 2 -m sodcli infer FOLDER[/] divides the files among processes.
    """
    from sodcli.imaging.framing import read_box, read_framing
    from sodcli.io.camera.capture import live_source
    from sodcli.io.films.formats import check_codec, frame_rate
    from sodcli.io.settings import InferSettings, choose_styles
    from sodcli.runtime.model_source import require_maps

    check_codec(codec)
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
    settings = InferSettings(
        sources=tuple(sources),
        network=network.summary(),
        styles=choose_styles(kinds or ["rgba"], refine=refine == "auto", max_pixels=max_pixels),
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
        quality=quality,
        framing=read_framing(crop, margin, canvas),
        report=report,
        mask=mask,
        box=None if box is None else read_box(box),
        clean=clean,
        start_s=start,
        duration_s=duration,
        rate=None if rate is None else frame_rate(rate),
        sound=None if sound is None else _sound(sound),
        frames=frames,
        steady=steady == "auto",
        audio=audio,
        codec=codec,
        show=show,
        show_fps=show_fps,
        json=json,
        quiet=quiet,
        verbose=verbose,
    )
    require_maps(model, weights, default_registry())  # report a typo before PyTorch is imported
    source = live_source(sources)
    if source is None:
        infer_files(settings, network, device)
    else:
        infer_camera(source, settings, network, device)


def _sound(name: str) -> Path:
    from sodcli.io.films.tracks import sound_file  # brings ffmpeg, which a photo does not need

    return sound_file(name)
