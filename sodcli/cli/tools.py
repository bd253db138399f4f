"""``sod reparam`` and ``sod speed``."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sodcli.cli import completion, options, ui
from sodcli.errors import SodError, UsageError
from sodcli.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from sodcli.registry import ModelSpec
    from sodcli.runtime.speed import Speed

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help=f"A model of models.toml; several make a table. Default: {DEFAULT_MODEL}.",
        autocompletion=completion.models,
    ),
]
TimedWeights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        help="A name of models.toml or a file. Default: the model's own.",
        rich_help_panel=options.NETWORK,
        autocompletion=completion.weights,
    ),
]
Backends = Annotated[
    list[str],
    typer.Option(
        help="What runs the network; several make a table, all means those installed. auto: "
        "PyTorch; with --pipeline what sod infer chooses.",
        autocompletion=completion.backends,
        rich_help_panel=options.NETWORK,
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
            help=".safetensors is our layout, .pth the published one (of sdnet and stdnet). "
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
    is written if it exceeds --tol. Parameters are counted as models.toml defines the model; norms
    that only the file has are named.
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
    model: Models = None,
    weights: TimedWeights = None,
    backend: Backends = ["auto"],  # noqa: B006 - typer copies it
    size: Annotated[
        int | None,
        typer.Option(min=32, help="Side of the input. Default: the model's; with -w the file's."),
    ] = None,
    batch: options.Batch = 1,
    clip: Annotated[
        int | None,
        typer.Option(min=1, help="Frames per clip, for film models. Default: the model's."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Length of each measurement.")] = 10.0,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Timed forward passes, in place of --seconds.")
    ] = None,
    warmup: Annotated[
        int | None,
        typer.Option(
            min=0, help="Passes before the clock starts. Default: for a fifth of --seconds."
        ),
    ] = None,
    reparam: Annotated[
        bool, typer.Option("--reparam/--no-reparam", help="Fold difference convolutions first.")
    ] = True,
    compiled: options.Compile = False,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Time sod infer from file to file instead.")
    ] = False,
    device: options.Device = "auto",
    half: options.Half = False,
    threads: options.Threads = None,
    markdown: Annotated[
        bool,
        typer.Option("--markdown", help="Print a Markdown table.", rich_help_panel=options.COMMON),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Time models on this machine: the network only, unless --pipeline is given.

    Several -m or --backend print one table, models by engines. With --pipeline backend and size are
    those that sod infer chooses, unless they are given. A model that has no weights here is timed
    with random ones: their values do not change the speed.
    """
    specs = _find_models(model or [], weights)
    _check_clip(specs, clip, pipeline=pipeline)
    from sodcli.runtime.backends.choose import NAMES, BackendRequest, check_request, installed
    from sodcli.runtime.device import choose_device, set_threads
    from sodcli.runtime.speed import SpeedSettings, measure_speed

    known = [name for name in NAMES[1:] if "all" in backend and installed(name)]
    engines = list(dict.fromkeys([*(name for name in backend if name != "all"), *known]))
    for engine in engines:
        check_request(BackendRequest(engine, device, half, compiled))
    set_threads(threads)
    settings = SpeedSettings(
        weights=weights,
        size=size,
        batch=batch,
        clip=clip,
        runs=runs,
        warmup=warmup,
        seconds=seconds,
        half=half,
        reparam=reparam,
        compiled=compiled,
    )
    measure = measure_speed
    if pipeline:
        from sodcli.infer.speed import measure_pipeline  # imports OpenCV

        measure = measure_pipeline
    results: list[Speed] = []
    pairs = [(spec, engine) for spec in specs for engine in engines]
    with ui.progress("measurements", len(pairs), quiet=quiet) as advance:
        for spec, engine in pairs:
            own = replace(settings, backend=engine)
            target = choose_device(device if engine in ("auto", "torch") else "cpu")
            try:
                results.append(measure(spec, own, target))
            except SodError as error:
                if len(pairs) == 1:
                    raise
                ui.warn(f"{spec.name} on {engine}: {error}")
            advance(1)
    if not results:
        raise SodError("none of these could be timed")
    if json:
        figures = [asdict(result) for result in results]
        ui.print_json(figures if len(pairs) > 1 else figures[0])
    elif markdown:
        ui.print_line(f"{_conditions(results[0])}\n\n{_as_markdown(_table(results))}")
    elif len(pairs) > 1:
        ui.note(_conditions(results[0]), quiet=quiet)
        head, *rows = _table(results)
        ui.print_table(head, rows)
    else:
        _print_speed(results[0])


def _check_clip(specs: "Sequence[ModelSpec]", clip: int | None, *, pipeline: bool) -> None:
    if clip and (pipeline or all(spec.clip_len == 1 for spec in specs)):
        raise UsageError("--clip is for the networks of film models, without --pipeline")


def _find_models(names: list[str], weights: str | None) -> "list[ModelSpec]":
    """Return the models to time, before PyTorch is imported: a typo fails fast."""
    from sodcli.fetch.weights import Supply
    from sodcli.registry import default_registry
    from sodcli.runtime.model_source import find_network

    registry = default_registry()
    specs = [registry.model(name) for name in names or ([] if weights else [DEFAULT_MODEL])]
    if weights is None:
        return specs
    if len(specs) > 1:
        raise UsageError("-w is for one model; of several, each is timed with its own weights")
    found = find_network(next(iter(names), None), weights, registry, Supply(offline=True))
    side_hw = found.spec.input_hw if found.trained is None else (found.trained, found.trained)
    return [replace(found.spec, input_hw=side_hw)]


def _table(results: "Sequence[Speed]") -> list[list[str]]:
    """Return head and rows of a table: models by engines, median time and frames per second."""
    engines = list(dict.fromkeys(result.backend for result in results))
    rows: dict[str, dict[str, Speed]] = {}
    for result in results:
        rows.setdefault(result.model, {})[result.backend] = result
    table = [["model", "input", "parameters", "GFLOP", *engines]]
    for name, found in rows.items():
        one = next(iter(found.values()))
        cells = [
            f"{found[engine].median_ms:.2f} ms, {found[engine].fps:.1f} fps"
            if engine in found
            else "-"
            for engine in engines
        ]
        shape = f"{one.batch}x{one.clip} of {one.size}x{one.size}"
        table.append([name, shape, f"{one.parameters:,}", f"{one.gflops:.2f}", *cells])
    return table


def _as_markdown(table: list[list[str]]) -> str:
    rule = ["---", "---", *["---:"] * (len(table[0]) - 2)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table[0], rule, *table[1:]))


def _conditions(result: "Speed") -> str:
    """Return what was timed, on which device and with which versions, in one line."""
    import torch

    from sodcli.runtime.device import describe_device

    device = describe_device(torch.device(result.device), result.half)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return f"{result.scope}, {device}; {versions}"


def _print_speed(result: "Speed") -> None:
    import torch

    from sodcli.runtime.device import describe_device
    from sodcli.text import plural

    device = describe_device(torch.device(result.device), result.half)
    form = "folded" if result.reparam else "training form"
    memory = "unknown" if result.peak_memory_mb is None else f"{result.peak_memory_mb:,.0f} MiB"
    for line in (
        f"{result.model} ({form}), {result.batch}x{result.clip} of {result.size}x{result.size}",
        f"{result.scope}, {result.backend}, {device}, {plural(result.runs, 'run')}",
        f"median {result.median_ms:.2f} ms, p90 {result.p90_ms:.2f} ms, {result.fps:.1f} fps",
        f"{result.parameters:,} parameters, {result.gflops:.2f} GFLOP, peak memory {memory}",
        ", ".join(f"{name} {version}" for name, version in result.versions.items()),
    ):
        ui.print_line(line)
