"""``torchrun ... -m sodcli infer``: one folder, several processes, one summary."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.draw_kit import draw_photo
from tests.process_kit import start_team

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
SMALL = ("--size", "32", "--device", "cpu")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are a thing of POSIX"),
]


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "shop").mkdir()
    for seed in range(7):
        rgb, _ = draw_photo(seed)
        Image.fromarray(rgb).save(tmp_path / "shop" / f"{seed}.jpg")
    return tmp_path / "shop"


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_processes_write_the_same_as_one_and_a_second_run_skips_all(sod, photos, tmp_path):
    alone = sod("infer", photos, "-t", "map", "-o", tmp_path / "one", *SMALL)
    assert alone.exit_code == 0
    words = [photos, "-t", "map", "-o", tmp_path / "two", *SMALL]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, "-m", "sodcli", "infer", *map(str, words)]
    env = ENV | {"TMPDIR": str(tmp_path)}  # torchrun leaves a folder there
    both = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)
    assert both.returncode == 0, both.stderr
    assert written(tmp_path / "two") == written(tmp_path / "one")
    assert sorted(both.stdout.split()) == sorted(alone.stdout.replace("one", "two").split())
    assert both.stderr.count("device:") == 1  # one process prints
    assert re.search(r"^7 pictures in [\d.]+ s: 7 done$", both.stderr, re.MULTILINE)
    (photos / "bad.jpg").write_bytes(b"broken")
    first, second = start_team("infer", *words, "--json")
    out, told = first.communicate(timeout=900)
    document = json.loads(out)
    assert (document["skipped"], document["failed"], document["done"]) == (7, 1, 0)
    assert len(document["results"]) == 8
    assert " s: 7 skipped, 1 failed; --overwrite" in told
    assert first.returncode == 3
    assert second.communicate(timeout=900) == ("", "")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-t", "mpa"], "error: no output type, colour, picture or film named 'mpa'"),
        (["--sizes", 64], "error: No such option: --sizes"),
        (["-w", "gone.pth"], "error: gone.pth: no such weights file"),
    ],
)
def test_a_wrong_command_line_is_reported_once(photos, words, line):
    both = start_team("infer", photos, *words, *SMALL)
    told = "".join(one.communicate(timeout=900)[1] for one in both)
    assert all(one.returncode in (2, 4) for one in both)
    assert told.count(line) == 1
    assert told.count("\n") == 1


def test_after_a_killed_process_a_second_run_finishes(sod, photos, tmp_path):
    for seed in range(7, 60):
        (photos / f"{seed}.jpg").write_bytes((photos / f"{seed % 7}.jpg").read_bytes())
    words = [photos, "-t", "rgba", "-o", tmp_path / "out", *SMALL[2:], "--size", 224]
    first, second = start_team("infer", *words)
    end = time.monotonic() + 900
    while not list((tmp_path / "out").glob("*.png")) and time.monotonic() < end:
        time.sleep(0.01)
    second.send_signal(signal.SIGKILL)
    _, told = first.communicate(timeout=900)
    second.communicate()
    assert first.returncode == 1
    assert "error: another process of this run was lost" in told
    assert "Traceback" not in told
    done = len(list((tmp_path / "out").glob("*.png")))
    assert 30 <= done < 60  # the other process finished its half
    assert sod("infer", *words).exit_code == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 60
