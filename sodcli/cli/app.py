"""The ``sod`` program: commands are registered here, errors end here."""

import sys
from collections.abc import Sequence
from functools import partial
from inspect import cleandoc
from traceback import print_exc
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sodcli import __version__
from sodcli.cli import ui
from sodcli.cli.evaluate import evaluate
from sodcli.cli.export import export
from sodcli.cli.faults import explain
from sodcli.cli.fetch import fetch
from sodcli.cli.infer import infer
from sodcli.cli.options import Traceback
from sodcli.cli.pseudo_label import pseudo_label
from sodcli.cli.testset import write_maps
from sodcli.cli.tools import reparam, speed
from sodcli.cli.train import train
from sodcli.environment import switched_on
from sodcli.errors import MissingError, SodError, UsageError
from sodcli.training.launcher import rank

INTERRUPTED = 130


class _Boundary(TyperGroup):
    """Turns every error into one line and an exit code; before it the traceback, if wanted."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for command in (self, *self.commands.values()):
            command.help = _flowing(command.help)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        run = partial(
            super().main,
            args,
            prog_name,
            complete_var,
            windows_expand_args=windows_expand_args,
            **extra,
        )
        if not standalone_mode:
            return run(standalone_mode=False)
        traced = "--traceback" in words or switched_on("SOD_DEBUG")
        try:
            code = run(standalone_mode=False)
        except SodError as error:
            if traced:
                print_exc()
            if _is_mine(error):
                ui.error(str(error))
            code = error.exit_code
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:  # noqa: BLE001 - a user must never meet a traceback unasked
            if traced:
                print_exc()
            code = explain(error, self._screen(words))
        if code == INTERRUPTED:
            ui.note("interrupted")
        sys.exit(code if isinstance(code, int) else 0)

    def _screen(self, words: Sequence[str]) -> str:
        """Return the command that ``words`` begin with, as one would type it to get its help."""
        return " ".join(["sod", *[word for word in words if word in self.commands][:1]])


def _is_mine(error: SodError) -> bool:
    """Say whether this process is to tell; of what all of a launcher's meet, the first one does."""
    return rank() == 0 or not isinstance(error, UsageError | MissingError)


def _flowing(text: str | None) -> str | None:
    """Leave the breaks between paragraphs only, so that a screen of any width breaks the lines."""
    if text is None:
        return None
    return "\n\n".join(part.replace("\n", " ") for part in cleandoc(text).split("\n\n"))


app = typer.Typer(
    cls=_Boundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sod {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    traceback: Traceback = False,
) -> None:
    """Find what stands out in pictures, films and camera streams, and cut it out.

    Cut out the subject of a photo:  sod infer photo.jpg --type rgba

    Exit codes: 0 done, 1 failure, 2 wrong usage, 3 some inputs of a batch failed, 4 weights or
    data missing, 5 device missing or out of memory, 130 interrupted.
    """


app.command(no_args_is_help=True)(infer)
app.command("test", no_args_is_help=True)(write_maps)
app.command("eval", no_args_is_help=True)(evaluate)
app.command(no_args_is_help=True)(train)
app.command(no_args_is_help=True)(pseudo_label)
app.command(no_args_is_help=True)(fetch)
app.command(no_args_is_help=True)(reparam)
app.command(no_args_is_help=True)(export)
app.command()(speed)
