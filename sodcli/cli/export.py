"""``sod export``."""

from pathlib import Path
from typing import Annotated

import typer

from sodcli.cli import completion, options, ui
from sodcli.cli.fetch import watching

Source = Annotated[
    str,
    typer.Argument(
        metavar="MODEL|CKPT",
        help="A model of models.toml, or a weights file.",
        autocompletion=completion.networks,
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE.onnx", help="What to write.")]
Size = Annotated[
    int | None,
    typer.Option(
        min=32,
        help="Side of the input in pixels, fixed for film models and with --static. "
        "Default: the weights' own.",
    ),
]
Clip = Annotated[int | None, typer.Option(min=1, help="Frames in a clip, for film models.")]
Half = Annotated[
    bool,
    typer.Option(
        "--half",
        help="Compute in float16: half the size, for GPUs and NPUs. CPUs compute in float32 "
        "between casts, 3.5 times slower in ONNX Runtime 1.32.",
    ),
]
Int8 = Annotated[
    Path | None,
    typer.Option(
        metavar="PHOTOS",
        help="Compute in 8-bit integers, whose ranges are measured on the photos in this folder. "
        "For OpenVINO (1.3 times faster); ONNX Runtime is 3 times slower on depthwise networks "
        "such as lite.",
    ),
]
Static = Annotated[
    bool,
    typer.Option(
        "--static",
        help="Fix batch and size, and compute what depends on them beforehand: no Shape, Cast or "
        "If nodes. For converters and small runtimes. OpenCV 5.0.0 runs it, too; sdnet needs "
        "engine=cv2.dnn.ENGINE_CLASSIC, since the default one fails at one-channel gates. OpenCV "
        "4.13 gives other values at the border of lite, up to 4 pixels wide.",
    ),
]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Pictures per call, with --static. Default: 1.")
]
Normalised = Annotated[
    bool, typer.Option("--normalised", help="Take RGB in [0, 1]; mean and deviation in the graph.")
]
Uint8 = Annotated[
    bool,
    typer.Option(
        "--uint8",
        help="Take RGB in bytes, N x H x W x 3, and give maps in bytes, N x H x W. "
        "Includes --normalised.",
    ),
]
Tol = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Largest allowed difference of the maps, from 0 to 1; with --int8 the mean one. "
        "Default: 1/255, with --int8 5/255.",
    ),
]


def export(
    source: Source,
    out: Out,
    model: options.Model = None,
    size: Size = None,
    clip: Clip = None,
    half: Half = False,
    int8: Int8 = None,
    static: Static = False,
    batch: Batch = None,
    normalised: Normalised = False,
    uint8: Uint8 = False,
    tol: Tol = None,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Write a model as an ONNX file for other programs and devices.

    Image models take any number of pictures of any size, film models one clip of a fixed shape;
    --static fixes both. Files without --uint8 can be used with -w.
    The file's maps are compared with PyTorch's on drawn pictures (with --int8 on the photos). The
    difference is printed, and nothing is written if it exceeds --tol.

    [bold]sod export sdnet -o sdnet.onnx[/]

    For LiteRT (TensorFlow Lite) install litert-torch; it converts in Python, without this command.
    It needs a module that returns one tensor, so wrap net = sodcli.load("lite").module in one whose
    forward(x) returns net(x).logits, then litert_torch.convert(wrapped, (torch.zeros(1, 3, 352,
    352),)).export("lite.tflite"). x is normalised RGB.
    """
    from sodcli.fetch.weights import Supply
    from sodcli.registry import default_registry
    from sodcli.runtime.onnx.export import ExportSettings, export_file

    settings = ExportSettings(
        source,
        out,
        model=model,
        size=size,
        clip=clip,
        half=half,
        int8=int8,
        static=static,
        batch=batch,
        normalised=normalised,
        uint8=uint8,
        tol=tol,
    )
    with watching(quiet=quiet) as events:
        done = export_file(settings, default_registry(), Supply(offline=offline, events=events))
    shape = [str(side) for side in done.shape]
    if json:
        ui.print_json(
            {
                "model": done.model,
                "output": str(done.target),
                "difference": done.difference,
                "bytes": done.size,
                "input": shape,
            }
        )
        return
    ui.note(
        f"{done.model}: input {' x '.join(shape)}, {done.size / 1e6:.1f} MB, "
        f"{'mean' if int8 else 'largest'} difference {done.difference:.2e}",
        quiet=quiet,
    )
    ui.print_line(str(done.target))
