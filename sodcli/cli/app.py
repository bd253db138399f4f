"""The ``sod`` program: commands are registered here, errors end here."""

import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from traceback import print_exc
from typing import Annotated, Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from sodcli import __version__
from sodcli.cli import ui
from sodcli.cli.help_screen import Command, QuickParameters, print_help
from sodcli.cli.options import Traceback
from sodcli.errors import (
    INTERRUPTED,
    DeviceError,
    MissingError,
    SodError,
    TrainingError,
    UsageError,
    WeightsError,
)
from sodcli.process import rank, switched_on

# What sodcli imports, and how to install it where it is not.
_PACKAGES: Final = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "cv2": "opencv-python",
    "numpy": "numpy",
    "PIL": "pillow",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "platformdirs": "platformdirs",
    "safetensors": "safetensors",
    "openpyxl": "openpyxl",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "starlette": "starlette uvicorn",
    "uvicorn": "starlette uvicorn",
}
_DISPLAY_NAMES: Final = {"torch": "PyTorch", "starlette uvicorn": "Starlette and uvicorn"}


def explain(error: Exception, screen: str) -> int:
    """Print any error that is not a :class:`.SodError` in one line.

    Args:
        error: A wrong command line, a missing package, a full disk, or a bug.
        screen: The command that was typed, for errors that do not know theirs.

    Returns:
        The exit code.
    """
    if hasattr(error, "format_message"):
        return _explain_usage(error, screen)
    package = _missing_package(error)
    if package is not None:
        ui.error(f"this needs {_DISPLAY_NAMES.get(package, package)}; run: pip install {package}")
        return UsageError.exit_code
    if isinstance(error, ImportError) and "shared object" in str(error) and _is_of_opencv(error):
        ui.error(
            "OpenCV needs system libraries of the desktop; run: apt-get install libgl1 "
            "libglib2.0-0t64, or use opencv-python-headless in place of opencv-python"
        )
        return UsageError.exit_code
    if isinstance(error, MemoryError) or "Insufficient memory" in str(error):  # OpenCV's words
        ui.error("not enough memory; take smaller pictures, or lower --size or --batch")
        return DeviceError.exit_code
    if isinstance(error, OSError) and error.strerror:  # from the disk, not caught where it occurred
        where = f"{error.filename}: " if error.filename is not None else ""
        ui.error(f"{where}{error.strerror.lower()}")
        return SodError.exit_code
    ui.error(f"internal error: {type(error).__name__}: {error}; run again with --traceback")
    return 1


def _explain_usage(error: Exception, screen: str) -> int:
    """Print what is wrong with the command line, unless its help was printed."""
    message = error.format_message()  # type: ignore[attr-defined]
    message = message.replace(": Value error, ", ": ")  # Pydantic's name for any ValueError
    if message:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else screen
        stop = "" if message.endswith((".", "?", "!")) else "."
        ui.error(f"{message}{stop} Try '{path} --help'.")
    return int(getattr(error, "exit_code", UsageError.exit_code))


def _missing_package(error: Exception) -> str | None:
    """Return the package whose absence caused the error, if one did."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    return _PACKAGES.get((error.name or "").partition(".")[0])


def _is_of_opencv(error: Exception) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == "cv2" for frame, _ in frames)


_RANK_0_FAILS_S: Final = 20.0  # time in which rank 0 meets the same error


class _Infer(Command):
    examples = (
        ("sod infer photo.jpg", "Cut the subject out into photo_rgba.png."),
        ("sod infer shop/ -t white --format jpg", "Put every subject of a folder on white."),
        ("sod infer clip.mp4 -t blur", "Blur the background of a film."),
    )


class _Commands(Mapping[str, TyperCommand]):
    """Every command by name; its module is imported when the command is first looked up.

    Args:
        registered: Further commands, which are there already.
    """

    _PLACES: Final = {
        "infer": "infer:infer",
        "test": "test:write_maps",
        "eval": "evaluate:evaluate",
        "train": "train:train",
        "runs": "runs:runs",
        "pseudo-label": "pseudo_label:pseudo_label",
        "fetch": "fetch:fetch",
        "reparam": "tools:reparam",
        "export": "export:export",
        "models": "models:models",
        "speed": "tools:speed",
        "ui": "page:page",
    }
    _WITHOUT_ARGUMENTS: Final = ("infer", "models", "speed", "ui")  # the others print their help

    def __init__(self, registered: Mapping[str, TyperCommand]) -> None:
        self._made = dict(registered)

    def __getitem__(self, name: str) -> TyperCommand:
        if name not in self._made:
            module, function = self._PLACES[name].split(":")
            alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
            kind = _Infer if name == "infer" else Command
            add = alone.command(name, cls=kind, no_args_is_help=name not in self._WITHOUT_ARGUMENTS)
            add(getattr(import_module(f"sodcli.cli.{module}"), function))
            self._made[name] = cast(TyperCommand, get_command(alone))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._PLACES, **self._made})

    def __len__(self) -> int:
        return len(list(iter(self)))


class _Boundary(QuickParameters, TyperGroup):
    """Turns every error into one line and an exit code, after a traceback on request."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(self.commands)  # type: ignore

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help to standard output."""
        print_help(self, ctx)

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
            if not _left_to_rank_0(error):
                ui.error(str(error))
            code = error.exit_code
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:  # noqa: BLE001 - users see a traceback only on request
            if traced:
                print_exc()
            if _left_to_rank_0(error):
                code = UsageError.exit_code
            else:
                code = explain(error, self._screen(words))
        if code == INTERRUPTED:
            ui.note("interrupted")
        sys.exit(code if isinstance(code, int) else 0)

    def _screen(self, words: Sequence[str]) -> str:
        """Return the command in ``words``, such as ``sod infer``."""
        return " ".join(["sod", *[word for word in words if word in self.commands][:1]])


def _left_to_rank_0(error: Exception) -> bool:
    """Return True if rank 0 prints this error, which all processes of the launcher have.

    torchrun ends all processes as soon as one fails: this one waits for rank 0 to fail first. If it
    is still there afterwards, rank 0 does not have the error, or has not come so far.
    """
    shared = isinstance(error, UsageError | MissingError | TrainingError | WeightsError)
    if rank() == 0 or not (shared or hasattr(error, "format_message")):
        return False
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return True
    time.sleep(_RANK_0_FAILS_S)
    return False


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
