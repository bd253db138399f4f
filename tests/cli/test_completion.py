"""Completions, requested in the way of each shell."""

import inspect
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sodcli.cli import completion
from sodcli.cli.app import app
from sodcli.cli.evaluate import evaluate
from sodcli.imaging.compose import PICTURE, output_types
from sodcli.imaging.output_types import ALIASES, COMMON_COLOURS, OUTPUT_TYPES
from sodcli.io.pictures.encode import is_format
from sodcli.metrics.measure import ALL, USUAL
from sodcli.registry import default_registry

ASKING = {
    "bash": lambda words: {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": " ".join(words)},
    "fish": lambda words: {
        "_TYPER_COMPLETE_ARGS": " ".join(words),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


def offered(shell, *words):
    program = (
        "import sys; sys.argv[0] = 'sod'; from sodcli.cli.app import app; app(prog_name='sod')"
    )
    env = {**os.environ, **ASKING[shell](["sod", *words]), "_SOD_COMPLETE": f"complete_{shell}"}
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("shell", list(ASKING))
def test_commands_and_options_are_offered(shell):
    assert "reparam" in offered(shell, "rep")
    assert "--threshold" in offered(shell, "infer", "--thr")


@pytest.mark.slow
def test_values_are_offered(registry):
    assert {*OUTPUT_TYPES, PICTURE} == {*output_types()}
    types = sorted({*OUTPUT_TYPES, *ALIASES, *COMMON_COLOURS})
    assert offered("bash", "infer", "--type", "").split() == types
    assert offered("bash", "infer", "--type", "dodger").split() == ["dodgerblue"]
    assert offered("bash", "test", "--model", "std").split() == ["stdnet", "stdnet-a"]
    assert offered("bash", "train", "--recipe", "sdnet").split() == sorted(
        name for name in registry.recipes if name.startswith("sdnet")
    )
    assert offered("bash", "infer", "--format", "j").split() == ["jpg"]
    assert offered("bash", "fetch", "DAVI").split() == ["DAVIS", "DAVIS-S"]
    assert offered("bash", "infer", "-w", "insp").split()
    assert default_registry().weights.keys() >= set(offered("bash", "infer", "-w", "").split())


CASES = [
    ("export", "r", "rcrnet rcrnet-image"),
    ("export", "sdnet-", "sdnet-a sdnet-a-duts sdnet-duts"),
    ("reparam", "sd", "sdnet sdnet-a-duts sdnet-duts"),
    ("speed", "-m", "i", "inspyrenet inspyrenet-res2net50"),
    ("train", "-m", "r", "rcrnet rcrnet-image"),
    ("train", "-m", "f", "fgplg"),
    ("train", "--init", "sdnet-st", "sdnet-stage1-backbone"),
    ("infer", "-w", "sdnet-st", ""),
    ("infer", "-w", "raft", ""),
    ("infer", "--device", "c", "cpu cuda"),
    ("infer", "--codec", "h", "h264 h265"),
    ("eval", "--metrics", "mae,w", "mae,wf"),
    ("pseudo-label", "--flow", "", "dis raft-large raft-small"),
    ("pseudo-label", "-w", "f", "fgplg"),
]


@pytest.mark.parametrize(("words", "names"), [(case[:-1], case[-1]) for case in CASES])
def test_only_valid_values_are_offered(monkeypatch, words, names):
    for key, value in ASKING["bash"](["sod", *words]).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("_SOD_COMPLETE", "complete_bash")
    shown = CliRunner().invoke(app, prog_name="sod").stdout
    assert shown.split() == names.split()


def test_the_offered_measures_are_all_measures():
    default = inspect.signature(evaluate).parameters["metrics"].default
    assert completion.metrics("") == sorted(ALL)
    assert set(default.split(",")) == USUAL
    others = sorted(ALL - {"mae", "s"})
    assert completion.metrics("mae,s,") == [f"mae,s,{name}" for name in others]


def test_the_offered_formats_are_those_of_the_help_and_of_the_encoder():
    offered = completion.formats("")
    told = " ".join(CliRunner().invoke(app, ["infer", "--help"]).stdout.split())
    for name in offered:
        assert is_format(f".{name}")
        assert name in told
    assert {"png", "jpg", "webp"} <= set(offered)


@pytest.mark.slow
@pytest.mark.parametrize(("option", "name"), [("--model", "sdnet"), ("--type", "rgba")])
def test_completion_is_quick_because_nothing_heavy_is_loaded(option, name):
    program = (
        "import sys\n"
        "from sodcli.cli.app import app\n"
        "try: app(prog_name='sod')\n"
        "except SystemExit: pass\n"
        "print({'torch', 'cv2', 'numpy'} & sys.modules.keys())"
    )
    env = {**os.environ, **ASKING["bash"](["sod", "infer", option, ""])}
    env["_SOD_COMPLETE"] = "complete_bash"
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert run.stdout.endswith("set()\n")
    assert name in run.stdout
