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
    typer.Option(min=32, help="Side in pixels; film models are fixed to it. Default: its own."),
]
Clip = Annotated[int | None, typer.Option(min=1, help="Frames that a film model is fixed to.")]
Half = Annotated[bool, typer.Option("--half", help="Compute in float16.")]
Int8 = Annotated[
    Path | None,
    typer.Option(
        metavar="PHOTOS",
        help="Compute in 8-bit integers; photos like those to come, which set the ranges.",
    ),
]
Tol = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Largest difference of the maps, from 0 to 1; the mean one of --int8. "
        "Default: 1/255, or 5/255 of --int8.",
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
    tol: Tol = None,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Write a model as ONNX, for other programs and devices; the extra onnx does it.

    Image models take any number of pictures of any size, film models one clip of a fixed shape.
    Both networks answer the same random input (with --int8: the photos); the difference of the maps
    is printed, and nothing is written when it is over --tol.

    [bold]sod export sdnet -o sdnet.onnx[/]
    """
    from sodcli.fetch.weights import Supply
    from sodcli.registry import default_registry
    from sodcli.runtime.onnx.export import Order, export_file

    order = Order(source, out, model, size, clip, half, int8, tol)
    with watching(quiet=quiet) as events:
        done = export_file(order, default_registry(), Supply(offline=offline, events=events))
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
