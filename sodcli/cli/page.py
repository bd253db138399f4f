"""``sod ui``: its options."""

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import typer

from sodcli.cli import options, ui
from sodcli.cli.loading import NetworkOptions
from sodcli.cli.models import rows_of_models
from sodcli.files.reading import MAX_PIXELS
from sodcli.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from sodcli.runtime.predictor import Predictor


def page(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen on; all but this need --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(envvar="SOD_TOKEN", help="Ask browsers for user sod and this password."),
    ] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")] = MAX_PIXELS,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Serve a page for browsers on this machine: drop photos or a short film, get the results.

    Files stay on this machine and are removed at the end; Ctrl-C ends it. To install what it
    needs: pip install starlette uvicorn.
    """
    from sodcli.infer.page import Page

    @lru_cache(2)
    def network(model: str) -> "tuple[Predictor, str]":
        own = NetworkOptions(model=model, offline=True)
        return own.load(device, quiet=True)[0], own.summary()

    def ready(address: str) -> None:
        ui.print_line(address)
        ui.note("open this address in a browser; Ctrl-C ends the page", quiet=quiet)

    network(DEFAULT_MODEL)  # so that a missing device is known at once
    here = [row["model"] for row in rows_of_models() if row["here"]]
    Page(network, here, max_pixels, token).serve(host, port, ready)
