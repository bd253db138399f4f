import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from sodcli.errors import DeviceError, UsageError
from sodcli.process import ProcessGroup, join_processes, rank, world_size
from sodcli.training.learner import mean_weight, parallel, splits_statistics

CPU = torch.device("cpu")
# Forks of one process, because importing torch takes most of the time.
TWO = """
import json, os, sys, torch
from torch import distributed as dist, nn
from sodcli.process import join_processes
from sodcli.training.learner import parallel

def work(rank):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    told = {}
    try:
        with join_processes(torch.device("cpu")) as (group, device):
            told["leads"] = group.leads
            told["total"] = group.total([1.0, float(rank)])
            told["names"] = group.gather([f"picture {rank}"])
            net = parallel(nn.Linear(1, 1, bias=False), group, device)
            net(torch.full((1, 1), 1.0 + rank)).sum().backward()
            told["gradient"] = net.module.weight.grad.item()
            raise KeyError("in the middle")
    except KeyError:
        told["left"] = not dist.is_initialized()
    with open(f"{sys.argv[1]}/{rank}.json", "w") as file:
        json.dump(told, file)

torch.set_num_threads(1)
children = []
for rank in range(2):
    pid = os.fork()
    if pid == 0:
        work(rank)
        os._exit(0)
    children.append(pid)
sys.exit(max(os.waitpid(pid, 0)[1] for pid in children) != 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="fork is a thing of POSIX")
def test_two_processes_share_sums_names_and_gradients(tmp_path):
    port = 20_000 + os.getpid() % 20_000
    env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    done = subprocess.run(
        [sys.executable, "-c", TWO, str(tmp_path)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert [one["leads"] for one in told] == [True, False]
    for one in told:
        assert one["total"] == [2.0, 1.0]
        assert one["names"] == ["picture 0", "picture 1"]
        assert one["gradient"] == 1.5
        assert one["left"]


def test_a_single_process_shares_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    module = nn.Linear(1, 1)
    with join_processes(CPU) as (group, device):
        assert (group, device) == (ProcessGroup(), CPU)
        assert group.total([1.5]) == [1.5]
        assert group.gather(["a"]) == ["a"]
        assert parallel(module, group, device) is module


@pytest.mark.parametrize(
    ("device", "message"), [("mps", "not on mps"), ("cuda", "64 processes but . GPUs")]
)
def test_devices_that_cannot_be_shared_are_refused(monkeypatch, device, message):
    monkeypatch.setenv("WORLD_SIZE", "64")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    with pytest.raises(DeviceError, match=message), join_processes(torch.device(device)):
        pass


def test_a_launcher_of_which_only_the_size_is_set_is_a_usage_error(monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="start with torchrun, or unset WORLD_SIZE"):
        with join_processes(CPU):
            pass
    for value in ("", "two"):
        monkeypatch.setenv("WORLD_SIZE", value)
        monkeypatch.setenv("RANK", value)
        assert (world_size(), rank()) == (1, 0)


def test_every_picture_has_the_same_weight_in_any_process():
    two = ProcessGroup(0, 2)
    shares = [mean_weight(torch.empty(n, 1), 8, two) for n in (4, 3, 1)]
    assert shares == [1.0, 0.75, 0.25]
    assert sum(shares) / two.world_size == 1.0


def test_batch_norm_is_split_on_cpus_only():
    normed = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    assert splits_statistics(normed, ProcessGroup(0, 2), CPU)
    assert not splits_statistics(normed, ProcessGroup(0, 1), CPU)
    assert not splits_statistics(normed, ProcessGroup(0, 2), torch.device("cuda"))
    assert not splits_statistics(normed[0], ProcessGroup(0, 2), CPU)
