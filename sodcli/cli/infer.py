"""``sod infer``: from sources to outputs."""

from functools import partial

from sodcli.cli import infer_options as opt
from sodcli.cli import options
from sodcli.cli.infer_camera import CameraRun, infer_camera
from sodcli.cli.infer_files import FileRun, check_codec, infer_files
from sodcli.cli.infer_style import choose_style
from sodcli.cli.loading import Loader
from sodcli.files.reading import MAX_PIXELS
from sodcli.registry import default_registry


def infer(
    sources: opt.Sources,
    kind: opt.Kind = "rgba",
    out: opt.Out = None,
    form: opt.Format = None,
    model: options.Model = None,
    weights: options.Weights = None,
    size: opt.Size = None,
    batch: opt.AutoBatch = "auto",
    threshold: opt.Threshold = None,
    refine: opt.Refine = "auto",
    recursive: opt.Recursive = False,
    compress: opt.Compress = None,
    overwrite: opt.Overwrite = False,
    fail_fast: opt.FailFast = False,
    dry_run: opt.DryRun = False,
    max_pixels: opt.MaxPixels = MAX_PIXELS,
    start: opt.Start = 0.0,
    frames: opt.Frames = None,
    audio: opt.Audio = True,
    codec: opt.Codec = "auto",
    show: opt.Show = None,
    show_fps: opt.ShowFps = False,
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
    given = locals()
    from sodcli.io.camera.capture import camera_number
    from sodcli.runtime.model_source import require_maps

    check_codec(codec)
    style = choose_style(kind, threshold, refine=refine == "auto", max_pixels=max_pixels)
    require_maps(model, weights, default_registry())  # before PyTorch: a typo is told at once
    number, load = camera_number(sources), options.pick(Loader, given)
    if number is not None:
        camera = options.pick(CameraRun, given, number=number)
        infer_camera(camera, style, partial(load, device, quiet))
    else:
        infer_files(options.pick(FileRun, given), style, device, load)
