"""The help of every command: two columns, names and sentences, under plain headings."""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

_METAVARS: Final[dict[Any, str]] = {int: "N", float: "X", Path: "PATH"}
_ARGUMENTS, _OPTIONS = "Arguments", "Options"
_WIDEST_NAMES: Final = 21  # columns; longer names have their sentence on the next line


class QuickParameters:
    """Converts what was typed, and takes texts, defaults and what is not given as they are.

    Typer converts with Pydantic, whose import alone takes a fifth of the time of a photo.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all parameters, ``--help`` among them."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if not isinstance(param.process_value, partial):
                param.process_value = partial(_converted, param.process_value, param)
        return params


def _converted(convert: Callable[[Any, Any], Any], param: Any, ctx: Any, value: Any) -> Any:
    kind = getattr(param, "type_descriptor", None)  # versions of Typer without it load no Pydantic
    annotation = None if kind is None or kind.parameter_info.parser else kind.annotation
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    many = param.multiple or param.nargs == -1
    if not value and param.required:
        return convert(ctx, value)  # raises the error
    if value is None:
        value = () if many else None
    elif annotation == list[str] and many and isinstance(value, list | tuple):
        value = list(value)
    elif not (value is param.default or (annotation is str and not many) or value in choices):
        return convert(ctx, value)
    return param.callback(ctx, param, value) if param.callback else value


class Command(QuickParameters, TyperCommand):
    """A command with this help; without arguments it prints its examples, if it has any.

    Attributes:
        examples: Pairs of a command line and what it does.
    """

    examples: Sequence[tuple[str, str]] = ()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help to standard output, as wide as the screen."""
        print_help(self, ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words; without any, print the examples and end with exit code 2."""
        if not args and self.examples and not ctx.resilient_parsing:
            console = _begin(self, ctx)
            widest = max(len(line) for line, _ in self.examples)
            for line, effect in self.examples:
                _print_row(console, line, effect, widest)
            console.print(f"\n{ctx.command_path} --help explains every option.", markup=False)
            ctx.exit(2)
        return super().parse_args(ctx, args)


def print_help(command: Any, ctx: Any) -> None:
    """Print usage, description, options and sub-commands of a command."""
    console = _begin(command, ctx)
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        console.print(paragraph.replace("\n", " ") + "\n")
    for heading, rows in _groups(command, ctx).items():
        console.print(f"[bold]{heading}:[/]")
        for names, sentence in rows:
            _print_row(console, names, sentence)
        console.print()


def _begin(command: Any, ctx: Any) -> Console:
    console = Console(highlight=False, emoji=False)
    console.print(f"Usage: {ctx.command_path} {_usage(command)}\n", markup=False)
    return console


def _usage(command: Any) -> str:
    arguments = [_argument(param) for param in command.params if not _is_option(param)]
    words = ["COMMAND"] if hasattr(command, "commands") else arguments
    return " ".join(["[OPTIONS]", *words])


def _groups(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Return names and sentence of each parameter, under the headings of ``rich_help_panel``.

    Arguments and options without a heading of their own come first.
    """
    groups: dict[str, list[tuple[str, str]]] = {_ARGUMENTS: [], _OPTIONS: []}
    for param in command.get_params(ctx):
        if getattr(param, "hidden", False):
            continue
        default = _OPTIONS if _is_option(param) else _ARGUMENTS
        heading = getattr(param, "rich_help_panel", None) or default
        names = _option(param) if _is_option(param) else _argument(param)
        groups.setdefault(heading, []).append((names, _sentence(param)))
    commands = getattr(command, "commands", {})
    shown = [(name, one) for name, one in commands.items() if not one.hidden]
    if shown:
        groups["Commands"] = [(name, _summary(one.help)) for name, one in shown]
    return {heading: rows for heading, rows in groups.items() if rows}


def _summary(text: str | None) -> str:
    """Return the first sentence of a description."""
    return cleandoc(text or "").replace("\n", " ").partition(". ")[0].rstrip(".") + "."


def _is_option(param: Any) -> bool:
    return str(param.param_type_name) == "option"


def _argument(param: Any) -> str:
    name = param.metavar or param.name.upper()
    many = param.nargs != 1 and "..." not in name
    name = f"{name}..." if many else name
    return name if param.required else f"[{name}]"


def _option(param: Any) -> str:
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in param.opts if name.startswith("--")]
    names = ", ".join([*short, *long, *param.secondary_opts])
    if param.is_flag:
        return names
    return f"{names} {param.metavar or _kind(param)}"


def _kind(param: Any) -> str:
    """Return ``N`` for integers, ``X`` for other numbers, ``PATH`` for paths, else ``NAME``."""
    annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    return _METAVARS.get(annotation, "NAME")


def _sentence(param: Any) -> str:
    """Return the help, with the default if it is informative and not in the help already."""
    text = str(param.help or "")
    default = param.default
    if isinstance(default, list):  # of an option that can be repeated
        default = ", ".join(map(str, default)) or None
    tells = default is not None and not isinstance(default, bool) and not callable(default)
    if tells and param.show_default is not False and "efault" not in text:
        text += f" Default: {default:g}." if isinstance(default, float) else f" Default: {default}."
    return text


def _print_row(console: Console, left: str, right: str, width: int = _WIDEST_NAMES) -> None:
    """Print two columns; the right one begins below a left cell that is too long."""
    if len(left) > width:
        console.print(Padding(Text(left, style="bold"), (0, 0, 0, 2)), no_wrap=True)
        left = ""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=width)
    table.add_column()
    table.add_row(Text(left, style="bold"), Text(right))
    console.print(Padding(table, (0, 0, 0, 2)))
