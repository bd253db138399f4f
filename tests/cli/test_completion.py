"""What Tab offers, asked as each shell asks."""

import os
import subprocess
import sys

import pytest

from sodcli.imaging.compose import PICTURE, names
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


@pytest.mark.parametrize("shell", list(ASKING))
def test_commands_and_options_are_offered(shell):
    assert "reparam" in offered(shell, "rep")
    assert "--threshold" in offered(shell, "infer", "--thr")


def test_values_are_offered(registry):
    assert offered("bash", "infer", "--type", "").split() == sorted(set(names()) - {PICTURE})
    assert offered("bash", "test", "--model", "std").split() == ["stdnet", "stdnet-a"]
    assert offered("bash", "train", "--recipe", "sdnet").split() == sorted(
        name for name in registry.recipes if name.startswith("sdnet")
    )
    assert offered("bash", "fetch", "DAVI").split() == ["DAVIS", "DAVIS-S"]
    assert offered("bash", "infer", "-w", "insp").split()
    assert default_registry().weights.keys() >= set(offered("bash", "infer", "-w", "").split())


def test_completion_is_quick_because_nothing_heavy_is_loaded():
    program = (
        "import sys\n"
        "from sodcli.cli.app import app\n"
        "try: app(prog_name='sod')\n"
        "except SystemExit: pass\n"
        "print({'torch', 'cv2', 'numpy'} & sys.modules.keys())"
    )
    env = {**os.environ, **ASKING["bash"](["sod", "infer", "--model", ""])}
    env["_SOD_COMPLETE"] = "complete_bash"
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert run.stdout.endswith("set()\n")
    assert "sdnet" in run.stdout
