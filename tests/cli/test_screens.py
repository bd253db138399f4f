"""Help of every command, and exit codes of wrong usage."""

import io
import json
import re
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from rich.progress import Progress
from typer.main import get_command

import sodcli
from sodcli.__main__ import main
from sodcli.cli import ui
from sodcli.cli.app import app
from sodcli.errors import SodError
from tests.conftest import rare

COMMANDS = sorted(get_command(app).commands)
RUNNING = ("speed", "models", "ui")  # commands that run without arguments


def program(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "sodcli", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=900, **options,
    )  # fmt: skip


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["models", "-h"]])
def test_help_is_there(sod, words):
    result = sod(*words)
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
    assert not result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_a_help_text(name):
    command = get_command(app).commands[name]
    assert command.help
    silent = [p.name for p in command.params if not getattr(p, "help", None)]
    assert not silent


def test_the_version_is_that_of_the_package(sod):
    assert sod("--version").stdout == f"sod {sodcli.__version__}\n"


def modules_after(code):
    """Return the names of the modules that a new Python process has loaded after ``code``."""
    code = f"import contextlib, sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


class _Strike:
    """An importer that is interrupted by Ctrl-C."""

    def find_spec(self, name, path=None, target=None):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_modules_are_imported_is_one_word(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "sodcli.cli.app")
    monkeypatch.setattr(sys, "meta_path", [_Strike()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help"], ["infer", "--help"]])
def test_help_loads_little_more_than_typer_and_rich_do(words):
    show = f"\nwith contextlib.suppress(SystemExit): app({words})"
    ours = modules_after(f"from sodcli.cli.app import app{show}")
    smallest = "import typer\napp = typer.Typer()\n@app.command()\ndef infer(): pass"
    theirs = modules_after(f"{smallest}\n@app.command()\ndef other(): pass{show}")
    packages = {name.partition(".")[0] for name in ours - theirs}
    assert packages - sys.stdlib_module_names <= {"sodcli", "rich"}
    assert len(ours - theirs) < len(theirs) / 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["infer", "x.jpg", "--bogus"], "No such option: --bogus"),
        (["infer", "x.jpg", "--batch", "0"], "--batch"),
        (["infer", "x.jpg", "--refine", "hard"], "'--refine': 'hard' is not one of"),
        (["infer", "x.jpg", "--threshold", "3"], "should be less than or equal to 1. Try"),
        (["infer", "x.jpg", "-t"], "requires an argument. Try 'sod infer --help'."),
        (["nothing"], "No such command 'nothing'"),
        (["speed", "-m", "sdnt"], "Did you mean 'sdnet'? Known: "),
        (["speed", "--device", "gpu"], "use auto, cpu, cuda, cuda:N or mps"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(sod, words, text):
    result = sod(*words)
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not result.stdout


@pytest.mark.slow
def test_hints_use_the_name_the_program_was_started_with():
    result = program("infer", "x.jpg", "--threshold", "3")
    assert result.returncode == 2
    assert result.stderr.endswith("Try 'python -m sodcli infer --help'.\n")


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name not in ("speed", "models", "ui")]
)
def test_a_command_without_arguments_shows_its_help(sod, name):
    result = sod(name)
    assert (result.exit_code, result.stderr) == (2, "")
    assert "Usage: " in result.stdout


def test_paragraphs_of_help_fill_the_lines(sod, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    paragraph = sod("reparam", "--help").stdout.split("\n\n")[2]
    assert all(len(line) > 60 for line in paragraph.splitlines()[:-1])
    assert len(paragraph.splitlines()) > 1


@pytest.mark.parametrize("columns", [80, *rare(120)])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_the_width_and_shows_no_type_names(sod, monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = sod(name, "--help").stdout
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= columns
    assert not re.search(r"<\w+|\[x|x<=|\[\[|\]\.\.\.", shown)
    headings = re.findall(r"^(\w+):$", shown, re.MULTILINE)
    assert headings.index("Options") <= 1 <= headings.index("Messages")
    options = get_command(app).commands[name].params
    assert all(p.opts[0] in shown for p in options if p.param_type_name == "option")
    if (name, columns) == ("infer", 80):
        assert shown.count("\n") < 105


def test_infer_without_arguments_prints_three_examples(sod):
    result = sod("infer")
    assert (result.exit_code, result.stderr) == (2, "")
    assert result.stdout.count("sod infer ") >= 3
    assert "--help explains every option" in result.stdout


@pytest.mark.parametrize(
    ("module", "says"),
    [("torchvision.ops", "torchvision; run: pip install torchvision"),
     ("cv2", "opencv-python; run: pip install opencv-python")],
)  # fmt: skip
def test_a_missing_package_is_named_with_its_command(sod, module, says):
    @app.command("fail-for-test", hidden=True)
    def fail():
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    try:
        result = sod("fail-for-test")
    finally:
        app.registered_commands.pop()
    assert (result.exit_code, result.stderr) == (2, f"error: this needs {says}\n")


def test_cuda_without_cuda_is_exit_5(sod):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    result = sod("speed", "--device", "cuda")
    assert result.exit_code == 5
    assert re.fullmatch(r"error: device cuda: .*; use device cpu\n", result.stderr)


@pytest.mark.parametrize("text", ["models.toml [toy]: bad", "no file [/home/me]/x[red].png", "[b"])
def test_square_brackets_in_a_message_survive(sod, text):
    @app.command("fail-for-test", hidden=True)
    def fail():
        raise SodError(text)

    try:
        assert sod("fail-for-test").stderr == f"error: {text}\n"
    finally:
        app.registered_commands.pop()


def test_a_line_break_in_a_name_does_not_break_the_line(capsys):
    ui.error("a\nb\x1b[31m.jpg: no such file")
    assert "a\\nb\\x1b[31m.jpg: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyError("odd")])
def test_an_internal_error_is_one_line(sod, error):
    @app.command("fail-for-test", hidden=True)
    def fail():
        raise error

    try:
        result = sod("fail-for-test")
    finally:
        app.registered_commands.pop()
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: internal error: {type(error).__name__}: ")
    assert "--traceback" in result.stderr


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: np.empty((2**17, 2**17, 2**10)),
        lambda: cv2.resize(np.zeros((2, 2, 3), np.float32), (30000, 2**30)),
    ],
    ids=["NumPy", "OpenCV"],
)
def test_too_little_memory_is_exit_5(sod, allocate):
    app.command("fail-for-test", hidden=True)(allocate)
    try:
        result = sod("fail-for-test")
    finally:
        app.registered_commands.pop()
    assert result.exit_code == 5
    assert result.stderr.startswith("error: not enough memory")


def test_a_traceback_is_printed_on_request(sod, monkeypatch):
    plain = sod("speed", "-m", "sdnt")
    asked = sod("speed", "-m", "sdnt", "--traceback")
    assert asked.exit_code == plain.exit_code == 2
    assert asked.stderr.startswith("Traceback (most recent call last):")
    assert asked.stderr.endswith(plain.stderr)
    for value, told in (("0", plain), ("1", asked)):
        monkeypatch.setenv("SOD_DEBUG", value)
        assert sod("speed", "-m", "sdnt").stderr.startswith(told.stderr[:9])


def test_an_interrupt_is_exit_130(sod):
    @app.command("stop-for-test", hidden=True)
    def stop():
        raise KeyboardInterrupt

    try:
        result = sod("stop-for-test")
    finally:
        app.registered_commands.pop()
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr


def test_models_lists_saliency_models_and_whether_they_are_cached(sod):
    rows = {row["model"]: row for row in json.loads(sod("models", "--json").stdout)["models"]}
    assert "inspyrenet" in rows
    assert "fgplg" not in rows
    (default,) = [row for row in rows.values() if row["default"]]
    assert default["here"] is True
    assert default["size"] > 10**6
    assert default["license"]
    shown = sod("models").stdout
    assert all(name in shown for name in rows)
    wrong = sod("infer", "x.jpg", "-m", "inspyrnet")
    assert "Did you mean 'inspyrenet'?" in wrong.stderr
    assert "fgplg" not in wrong.stderr


def test_without_a_terminal_progress_is_one_line_a_minute(capsys):
    now = [0.0]
    lines = ui._MinuteLines(quiet=False, clock=lambda: now[0])
    for done in range(1, 241):
        now[0] += 1
        lines.move("pictures", done, 7200)
    shown = capsys.readouterr().err.splitlines()
    assert shown == [
        "pictures: 60 of 7200, 1 h 59 min left",
        "pictures: 120 of 7200, 1 h 58 min left",
        "pictures: 180 of 7200, 1 h 57 min left",
        "pictures: 240 of 7200, 1 h 56 min left",
    ]


def test_the_bar_of_a_film_starts_again_for_each_result(monkeypatch):
    begun, screen = [], io.StringIO()

    class Bars(Progress):
        def add_task(self, *words, **fields):
            begun.append(words)
            return super().add_task(*words, **fields)

    monkeypatch.setattr(ui, "Progress", Bars)
    monkeypatch.setattr(ui, "stderr", Console(file=screen, force_terminal=True, width=90))
    with ui.film_progress() as move:
        for done in (1, 2, 1, 2):
            move("clip.mp4", done, 2, 59.97)
    assert len(begun) == 2
    assert "at 1:00.0" in screen.getvalue()
