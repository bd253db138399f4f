"""``sod reparam`` and ``sod speed``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sodcli.cli import completion, options, ui
from sodcli.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from sodcli.runtime.speed import Speed

Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        "-m",
        help="A model of models.toml; several are timed in turn.",
        autocompletion=completion.models,
    ),
]
Backend = Annotated[
    Literal["auto", "torch", "onnx", "openvino"],
    typer.Option(
        help="What runs the network. auto: PyTorch; with --pipeline what sod infer chooses.",
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
    tol: Annotated[
        float, typer.Option(min=0, help="Largest allowed difference of the logits.")
    ] = 1e-4,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Fold difference convolutions into plain ones (DCR): same output, less work.

    Both networks are run on the same random input. The largest difference is printed, and nothing
    is written if it exceeds --tol. Parameters are counted as models.toml has the model; norms that
    the file has besides are named.
    """
    from sodcli.registry import default_registry
    from sodcli.runtime.reparam import fold_file

    done = fold_file(checkpoint, out, model, tol, default_registry())
    before, after = done.parameters
    norms = f" (and {done.norm_parameters:,} of its norms)" if done.norm_parameters else ""
    if json:
        ui.print_json(
            {
                "model": done.model,
                "output": str(done.target),
                "difference": done.difference,
                "parameters_before": before,
                "parameters_after": after,
                "norm_parameters": done.norm_parameters,
            }
        )
        return
    ui.note(
        f"{done.model}: largest difference {done.difference:.2e}, "
        f"{before:,} parameters before{norms}, {after:,} after",
        quiet=quiet,
    )
    ui.print_line(str(done.target))


def speed(
    model: Models = [DEFAULT_MODEL],  # noqa: B006 - typer copies it
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

    With --pipeline backend and size are those that sod infer chooses, unless they are given. A
    model that has no weights here is timed with fresh ones: their values do not change the speed.
    """
    from sodcli.registry import default_registry

    specs = [default_registry().model(name) for name in model]  # before PyTorch: a typo fails fast
    from sodcli.runtime.backends.choose import BackendRequest, check_request
    from sodcli.runtime.device import choose_device, set_threads
    from sodcli.runtime.speed import SpeedSettings, measure_speed

    check_request(BackendRequest(backend, device, half, compiled))
    target = choose_device(device if backend in ("auto", "torch") else "cpu")
    set_threads(threads)
    settings = SpeedSettings(
        size=size,
        batch=batch,
        runs=runs,
        warmup=warmup,
        half=half,
        reparam=reparam,
        compiled=compiled,
        backend=backend,
    )
    measure = measure_speed
    if pipeline:
        from sodcli.infer.speed import measure_pipeline  # imports OpenCV

        measure = measure_pipeline
    results = []
    with ui.progress("runs", len(specs) * (runs + warmup), quiet=quiet) as advance:
        for spec in specs:
            own = replace(settings, clip=clip or spec.clip_len)
            results.append(measure(spec, own, target, advance))
            if not json:
                _print_speed(results[-1])
    if json:
        figures = [result.as_dict() for result in results]
        ui.print_json(figures if len(figures) > 1 else figures[0])


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
