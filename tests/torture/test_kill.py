"""A few kills at random moments; ``python -m tests.torture.kill`` runs hundreds."""

import os
import subprocess
import sys

import pytest

from tests.torture import LONG

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
    assert "every file whole, every job finished" in done.stdout
