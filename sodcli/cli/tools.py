"""``sod reparam`` and ``sod speed``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sodcli.cli import completion, options, ui

if TYPE_CHECKING:
    from sodcli.runtime.speed import Speed

Model = Annotated[
    str,
    typer.Option("--model", "-m", help="A model of models.toml.", autocompletion=completion.models),
]
Backend = Annotated[
    Literal["auto", "torch", "onnx", "openvino"],
    typer.Option(
        help="What runs the network. auto: PyTorch; with --pipeline what sod infer takes.",
        rich_help_panel=options.COMMON,
    ),
]


def reparam(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="A weights file, or a name of models.toml.", autocompletion=completion.weights
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help=".safetensors is our layout, .pth the published one. "
            "Default: FILE_reparam beside the file, NAME_reparam.safetensors in this folder.",
        ),
    ] = None,
    model: options.Model = None,
    tol: Annotated[float, typer.Option(min=0, help="Largest difference of the logits.")] = 1e-4,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Fold difference convolutions into plain ones (DCR): same answers, less work.

    Both networks answer the same random input; the largest difference is printed, and nothing is
    written when it is over --tol.
    """
    from sodcli.registry import default_registry
    from sodcli.runtime.reparam import fold_file

    done = fold_file(checkpoint, out, model, tol, default_registry())
    before, after = done.parameters
    if json:
        ui.print_json(
            {
                "model": done.model,
                "output": str(done.target),
                "difference": done.difference,
                "parameters_before": before,
                "parameters_after": after,
            }
        )
        return
    ui.note(
        f"{done.model}: largest difference {done.difference:.2e}, "
        f"{before:,} parameters before, {after:,} after",
        quiet=quiet,
    )
    ui.print_line(str(done.target))


def speed(
    model: Model = "sdnet",
    size: Annotated[
        int | None, typer.Option(min=32, help="Side of the input. Default: the model's.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per forward pass.")] = 1,
    clip: Annotated[
        int | None, typer.Option(min=1, help="Frames per clip. Default: the model's.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed forward passes.")] = 200,
    warmup: Annotated[int, typer.Option(min=0, help="Passes before the clock starts.")] = 20,
    reparam: Annotated[
        bool, typer.Option("--reparam/--no-reparam", help="Fold difference convolutions first.")
    ] = True,
    backend: Backend = "auto",
    compiled: options.Compile = False,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Time sod infer from file to file instead.")
    ] = False,
    device: options.Device = "auto",
    half: options.Half = False,
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Time a model on this machine: the network only, unless --pipeline is given.

    --pipeline takes the backend and the size that sod infer takes, unless they are named.
    """
    given = locals()
    from sodcli.registry import default_registry

    spec = default_registry().model(model)  # before PyTorch, so that a typo is told at once
    from sodcli.infer.speed import measure_pipeline
    from sodcli.runtime.backends.choose import Wish, check_wish
    from sodcli.runtime.device import choose_device, set_threads
    from sodcli.runtime.speed import Trial, measure_speed

    check_wish(Wish(backend, device, half, compiled))
    target = choose_device(device if backend in ("auto", "torch") else "cpu")
    set_threads(threads)
    trial = options.pick(Trial, given, clip=clip or spec.clip_len)
    measure = measure_pipeline if pipeline else measure_speed
    with ui.progress("runs", runs + warmup, quiet=quiet) as advance:
        result = measure(spec, trial, target, advance)
    if json:
        ui.print_json(result.as_dict())
    else:
        _print_speed(result)


def _print_speed(result: "Speed") -> None:
    import torch

    from sodcli.runtime.device import describe_device, number_of

    device = describe_device(torch.device(result.device), result.half)
    form = "folded" if result.reparam else "training form"
    memory = "unknown" if result.peak_memory_mb is None else f"{result.peak_memory_mb:,.0f} MiB"
    for line in (
        f"{result.model} ({form}), {result.batch}x{result.clip} of {result.size}x{result.size}",
        f"{result.scope}, {result.backend}, {device}, {number_of(result.runs, 'run')}",
        f"median {result.median_ms:.2f} ms, p90 {result.p90_ms:.2f} ms, {result.fps:.1f} fps",
        f"{result.parameters:,} parameters, {result.gflops:.2f} GFLOP, peak memory {memory}",
        ", ".join(f"{name} {version}" for name, version in result.versions.items()),
    ):
        ui.print_line(line)
