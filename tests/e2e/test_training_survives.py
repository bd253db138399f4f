"""Training that is killed, interrupted, out of disk, or shared by two processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from sodcli.training.run_folder import RunFolder
from tests.process_kit import start_team
from tests.training_kit import Listener, draw_pairs, run, same_weights, settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals and fork are a thing of POSIX"),
]
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
MINE = """
holdout = 0.25
sample_every = 0
scales = [1.0]
"""
# Forks, because importing torch for every attempt would take most of the time.
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
import torch._dynamo  # an optimiser imports it, which takes two seconds in each child
from sodcli.registry import default_registry
from sodcli.training.config import read_config
from sodcli.training.report import Reporter
from sodcli.training.run_folder import RunFolder
from sodcli.training.setup import Options
from sodcli.training.trainer import train

class Suicide(Reporter):
    def __init__(self, step):
        self.step = step
    def on_step(self, report):
        if report.step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

def start(folder, step, resume):
    pid = os.fork()
    if pid == 0:
        options = Options(device=torch.device("cpu"), save_every=0)
        train(config, folder, default_registry(), options, Suicide(step), resume=resume)
        os._exit(0)
    return pid

def signal_of(pid):
    return os.WTERMSIG(os.waitpid(pid, 0)[1])

torch.set_num_threads(1)
default_registry()
config = read_config(Path(sys.argv[1]))
root = Path(sys.argv[2])
ends = {"whole": [signal_of(start(RunFolder(root / "whole"), None, False))]}
for step in (1, 3, 4, 6):
    folder = RunFolder(root / f"step{step}")
    first, last = start(folder, step, False), None
    ends[folder.root.name] = [signal_of(first), signal_of(start(folder, None, True))]
chance = random.Random(7)
folder = RunFolder(root / "random")
ends["random"] = []
while not ends["random"] or ends["random"][-1]:
    pid = start(folder, None, (folder.root / "config.toml").exists())
    for _ in range(5 * len(ends["random"]) + 5):
        time.sleep(chance.uniform(0.0, 0.08))
        if any(folder.root.glob(".sod-*")) and len(ends["random"]) < 6:
            break
    if len(ends["random"]) < 6:
        os.kill(pid, signal.SIGKILL)
    ends["random"].append(signal_of(pid))
print(json.dumps(ends))
"""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return draw_pairs(tmp_path_factory.mktemp("pairs"))


def words_of(pairs, root):
    settings_file = root.parent / "mine.toml"
    settings_file.write_text(MINE)
    words = ["train", "-m", "sdnet", "--data", str(pairs), "--config", str(settings_file)]
    words += ["-o", str(root), "--epochs", "2", "--batch", "2", "--size", "32"]
    return [*words, "--save-every", "0"]


def sod(pairs, root, *words, **how):
    command = [sys.executable, "-m", "sodcli", *words_of(pairs, root), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=ENV, **pipes, **how)


def test_a_run_killed_at_any_moment_and_resumed_ends_bitwise_the_same(pairs, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(settings(pairs, ema=0.9, scales=[1.0, 1.5], epochs=1).toml())
    script = tmp_path / "killer.py"
    script.write_text(KILLER)
    done = subprocess.run(
        [sys.executable, script, config, tmp_path], env=ENV, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    assert ends.pop("whole") == [0]
    assert [ends[f"step{step}"] for step in (1, 3, 4, 6)] == [[signal.SIGKILL, 0]] * 4
    assert ends["random"][:2] == [signal.SIGKILL] * 2
    assert ends["random"][-1] == 0
    whole = RunFolder(tmp_path / "whole")
    for name in ends:
        folder = RunFolder(tmp_path / name)
        assert same_weights(folder.last, whole.last), name
        assert same_weights(folder.best, whole.best), name
        assert [row["loss"] for row in folder.rows()] == [row["loss"] for row in whole.rows()]
        assert not list(folder.root.rglob(".sod-*"))


def test_ctrl_c_leaves_a_checkpoint_and_exits_with_130(pairs, tmp_path):
    root = tmp_path / "run"
    process = sod(pairs, root, "--epochs", "1000")
    while not (root / "last.pth").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "interrupted"
    assert (root / "last.safetensors").exists()
    listener = Listener(lambda step: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(RunFolder(root).read(), root, listener, resume=True)
    assert listener.plan.done >= 1


def test_two_processes_equal_one(pairs, tmp_path):
    sgd = MINE + 'optimizer = { name = "sgd", momentum = 0.9, groups = [] }\nlr = 1e-5\n'
    (tmp_path / "sgd.toml").write_text(sgd)
    first, second = start_team(
        *words_of(pairs, tmp_path / "two"), "--config", tmp_path / "sgd.toml"
    )
    out, err = first.communicate()
    assert second.communicate() == ("", "")
    assert (first.returncode, second.returncode) == (0, 0), err
    assert out == f"{tmp_path / 'two' / 'best.safetensors'}\n"
    assert err.count("epoch 1:") == 1
    assert "Warning" not in err
    config = RunFolder(tmp_path / "two").read()
    one = run(config, tmp_path / "one")
    a, b = load_file(one.last), load_file(tmp_path / "two" / "last.safetensors")
    torch.manual_seed(config.seed)
    assert max(float((a[key] - b[key]).abs().max()) for key in a) < 1e-6
    start = run(settings(pairs, optimizer={"name": "sgd"}, lr=1e-300, epochs=1), tmp_path / "start")
    c = load_file(start.last)
    assert max(float((a[key] - c[key]).abs().max()) for key in a) > 1e-4
    for row, other in zip(one.rows(), RunFolder(tmp_path / "two").rows(), strict=True):
        assert row["images"] == other["images"]
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-6)
        assert row["MAE"] == pytest.approx(other["MAE"], abs=1e-4)


def test_a_killed_process_ends_the_other_with_one_line(pairs, tmp_path):
    root = tmp_path / "run"
    first, second = start_team(*words_of(pairs, root), "--epochs", "1000")
    while not (root / "last.pth").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    second.kill()
    _, err = first.communicate()
    second.communicate()
    assert first.returncode == 1
    assert err.splitlines()[-1].startswith("error: another process of this run was lost; the same")
    assert "Traceback" not in err


def test_a_full_disk_ends_the_run_with_one_line_and_keeps_the_last_checkpoint(pairs, tmp_path):
    import resource

    root = tmp_path / "run"
    before = run(settings(pairs, epochs=1), root).checkpoint.read_bytes()
    config = (root / "config.toml").read_text()
    (root / "config.toml").write_text(config.replace("epochs = 1\n", "epochs = 2\n"))

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    process = sod(pairs, root, "--resume", preexec_fn=small_files)
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(f"error: cannot write {root / 'last.pth'}: ")
    assert err.splitlines()[-1].endswith("the checkpoint before is kept")
    assert (root / "last.pth").read_bytes() == before
    assert not list(root.glob(".sod-*"))
