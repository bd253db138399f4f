import json
import platform
import shlex
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from sodcli.cli.app import app
from sodcli.cli.train_progress import TrainProgress
from sodcli.training.report import RunPlan
from tests.training_kit import draw_pairs

pytestmark = pytest.mark.slow

# Trains, then prints how many pages the system hands out for objects of 64 MB, one after the other.
PAGES = """
import resource, sys
from sodcli.cli.app import app

app(sys.argv[1:], standalone_mode=False)
size = 64_000_000
b"x" * size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    b"x" * size
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture(autouse=True)
def _threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return draw_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def sod(capsys):
    """Return a function that runs a command; it returns exit code, stdout and lines of stderr."""

    def call(*words):
        with pytest.raises(SystemExit) as end:
            app(["train", "--threads", "1", *map(str, words)])
        shown = capsys.readouterr()
        return end.value.code, shown.out, shown.err.splitlines()

    return call


@pytest.fixture
def small(pairs):
    """Options for a run of two steps."""
    return ("-m", "sdnet", "--data", pairs, "--epochs", 1, "--size", 32, "--batch", 8)


def test_it_prints_the_best_weights_on_stdout_and_progress_on_stderr(sod, small, tmp_path):
    run = tmp_path / "run"
    code, out, err = sod(*small, "-o", run)
    assert code == 0
    assert out == f"{run / 'best.safetensors'}\n"
    assert "sdnet: 745,197 parameters, 7 pairs to train on, 1 to validate on" in err[0]
    assert err[0].endswith(" on 1 x cpu, float32")
    assert err[-1].startswith("epoch 1: loss ")
    assert "maxF" in err[-1]

    code, out, err = sod("-o", run, "--resume", "--json")
    assert code == 0
    outcome = json.loads(out)
    assert outcome["weights"] == str(run / "best.safetensors")
    assert [row["epoch"] for row in outcome["epochs"]] == [1]
    assert err[0].endswith("; finished already, at step 4")


def test_steps_of_more_processes_do_not_make_a_run_finished(capsys):
    """An epoch of three batches drops the last, of one picture, if two processes share it."""
    plan = RunPlan(
        model="sdnet", parameters=1, train=5, held=0, epochs=3, steps=6, done=6, done_epochs=2,
        device="cpu", processes=2, amp="none",
    )  # fmt: skip
    for done_epochs, start in ((2, ", going on at step 7"), (3, "; finished already, at step 6")):
        with TrainProgress(quiet=False) as progress:
            progress.on_start(replace(plan, done_epochs=done_epochs))
        assert capsys.readouterr().err.endswith(f"float32{start}\n")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is managed by glibc")
def test_on_a_cpu_freed_memory_is_kept_for_the_next_tensors(small, tmp_path):
    words = ["train", *map(str, small), "-o", str(tmp_path / "run"), "--device", "cpu", "-q"]
    done = subprocess.run(
        [sys.executable, "-c", PAGES, *words], capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[-1]) < 100  # 156,250 without, 320 where pages are huge


def test_resuming_with_other_settings_names_them(sod, small, tmp_path):
    run = tmp_path / "run"
    assert sod(*small, "-o", run, "-q") == (0, f"{run / 'best.safetensors'}\n", [])
    code, out, err = sod(*small, "-o", run, "--resume", "--size", 64, "--seed", 3)
    assert (code, out) == (2, "")
    assert err == [
        "error: cannot resume with another configuration: size was 32, now 64; seed was 0, "
        "now 3; leave the options out, or start a new run from its weights: "
        f"-o NEW --init {run / 'last.safetensors'}"
    ]
    code, _, err = sod(*small, "-o", run)
    assert code == 2
    assert err == [f"error: {run} exists and is not empty; choose another -o, or add --resume"]
    code, _, err = sod(*small, "-o", run / "config.toml")
    assert code == 2
    assert err == [f"error: {run / 'config.toml'} is a file; -o names the folder of a run"]
    (run / "last.pth").unlink()
    _, _, err = sod("-o", run, "--resume")
    assert (
        err[0]
        == f"warning: {run / 'last.pth'} is missing: the run starts again from its first epoch"
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-o", "RUN"], 2, "no model to train; add --model NAME"),
        (["-o", "RUN", "-m", "sdnt"], 2, "no model named 'sdnt'. Did you mean 'sdnet'?"),
        (["-o", "RUN", "-m", "sdnet"], 2, "no pictures to train on; add --data FOLDER"),
        (["-o", "RUN", "-m", "sdnet", "--data", "gone"], 4, "no folder '"),
        (["-o", "RUN", "--resume"], 2, "nothing to resume in "),
        (["-o", "RUN", "-m", "sdnet", "--recipe", "sdnett"], 2, "no recipe named 'sdnett'"),
        (["-o", "RUN", "--config", "gone.toml"], 2, "gone.toml: No such file"),
        (["-m", "sdnet"], 2, "Missing option '--out'"),
        (["-o", "RUN", "--device", "tpu"], 2, "no device called 'tpu'"),
    ],
)
def test_usage_errors_are_one_line(sod, tmp_path, words, code, message):
    got, out, err = sod(*(str(tmp_path / "run") if word == "RUN" else word for word in words))
    assert (got, out, len(err)) == (code, "", 1)
    assert err[0].startswith(f"error: {message}")
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_prints_how_to_resume(sod, small, tmp_path, monkeypatch):
    run = tmp_path / "my run"

    def press(self, report):
        if report.step == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainProgress, "on_step", press)
    code, out, err = sod(*small, "-o", run)
    assert (code, out) == (130, "")
    assert err[-2:] == [f"go on with: sod train --resume -o {shlex.quote(str(run))}", "interrupted"]
    monkeypatch.undo()
    code, out, err = sod("-o", run, "--resume")
    assert code == 0
    assert err[0].endswith(", going on at step 3")


def test_a_bad_photo_is_reported_once(sod, tmp_path):
    root = draw_pairs(tmp_path / "pairs")
    (root / "images" / "3.png").write_bytes(b"gone")
    words = ("-m", "sdnet", "--data", root, "--size", 32, "--batch", 8, "-o", tmp_path / "run")
    code, _, err = sod(*words, "--epochs", 2)
    assert code == 0
    assert sum("skipped: " in line for line in err) == 1
    assert err[-1].endswith("4 pictures skipped")


def test_only_the_first_process_prints(sod, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    (tmp_path / "x").touch()
    code, out, err = sod("-m", "sdnet", "--data", tmp_path, "-o", tmp_path)
    assert (code, out, err) == (2, "", [])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setattr("sodcli.cli.app._RANK_0_FAILS_S", 0.0)
    code, out, err = sod("-m", "sdnet", "--data", tmp_path, "-o", tmp_path)
    assert (code, out, len(err)) == (2, "", 1)  # torchrun did not end it: rank 0 has no error
