"""A few kills at random moments; ``python -m tests.torture.kill`` runs hundreds."""

import os
import subprocess
import sys

import pytest
from typer.main import get_command

from sodcli.cli.app import app
from tests.torture import LONG
from tests.torture.kill import SCENES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="SIGKILL and fork are a thing of POSIX"),
]


def test_after_a_kill_files_are_complete_and_the_job_can_be_finished():
    """In a separate process, because a process with threads must not fork."""
    words = ["--times", "200"] if LONG else ["--times", "3", "--only", "photos", "film"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.kill", *words],
        env=env, capture_output=True, text=True, timeout=3000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files whole, every job finished" in done.stdout


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_is_a_command_of_today(name, tmp_path):
    """The short form runs two of them, so a renamed option of another would not be noticed."""
    for begun in (False, True):
        command, *words = map(str, SCENES[name].next(tmp_path, tmp_path, begun=begun))
        get_command(app).commands[command].make_context(command, words)
