"""Options that several commands share."""

from typing import Annotated, Final, Literal

import typer

from sodcli.cli import completion
from sodcli.registry import DEFAULT_MODEL

NETWORK: Final = "Network"
COMMON: Final = "Messages"

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help=f"A model of models.toml. Default: the one the weights fit, or {DEFAULT_MODEL}.",
        autocompletion=completion.models,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        help="A name of models.toml or a file, also an .onnx file of sod export. "
        "Default: the model's own.",
        rich_help_panel=NETWORK,
        autocompletion=completion.weights,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        help="Side of the square the network sees, in pixels. Default: the weights' own.",
        rich_help_panel=NETWORK,
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Pictures per forward pass.")]
Device = Annotated[
    str,
    typer.Option(
        envvar="SOD_DEVICE",
        help="auto, cpu, cuda, cuda:N or mps.",
        rich_help_panel=NETWORK,
        autocompletion=completion.devices,
    ),
]
Half = Annotated[bool, typer.Option("--half", help="Compute in bfloat16.", rich_help_panel=NETWORK)]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="CPU threads. Default: one per core; with PyTorch one per free core.",
        rich_help_panel=NETWORK,
    ),
]
Backend = Annotated[
    Literal["auto", "torch", "onnx", "openvino"],
    typer.Option(
        help="What runs the network. auto: the fastest that is installed.", rich_help_panel=NETWORK
    ),
]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="Let torch.compile build the network.", rich_help_panel=NETWORK),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", help="Download nothing; SOD_OFFLINE=1 does the same.", rich_help_panel=NETWORK
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead.", rich_help_panel=COMMON)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=COMMON)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more details.", rich_help_panel=COMMON)
]
Traceback = Annotated[
    bool,
    typer.Option(
        "--traceback", help="Print the Python traceback of an error.", rich_help_panel=COMMON
    ),
]
