"""Choice of the backend, on simulated machines."""

import pytest
import torch

import sodcli
from sodcli.errors import DeviceError, UsageError
from sodcli.runtime import device
from sodcli.runtime.backends import choose
from sodcli.runtime.backends.choose import BackendRequest, check_request, decide


class Store:
    """A graph cache that contains the graph or does not."""

    def __init__(self, here):
        self._here = here

    def exist(self):
        return self._here


@pytest.fixture
def machine(monkeypatch):
    """Simulate installed engines, a GPU, and a CPU with or without bfloat16."""

    def play(packages=("onnx", "openvino"), gpu=False, bfloat16=False):
        monkeypatch.setattr(choose, "installed", lambda name: name == "torch" or name in packages)
        monkeypatch.setattr(choose, "accelerator_likely", lambda: gpu)
        monkeypatch.setattr(choose, "choose_device", lambda: torch.device("cuda" if gpu else "cpu"))
        monkeypatch.setattr(choose, "_has_bfloat16", lambda: bfloat16)

    return play


@pytest.mark.parametrize(
    ("packages", "pictures", "here", "expected"),
    [
        ((), None, True, "torch"),
        (("onnx",), 1, True, "onnx"),
        (("openvino",), 1, True, "openvino"),
        (("onnx", "openvino"), 1, True, "onnx"),  # starts faster
        (("onnx", "openvino"), 1000, True, "openvino"),
        (("onnx", "openvino"), None, True, "openvino"),
        (("onnx", "openvino"), 1, False, "torch"),  # PyTorch is needed to make the graph
        (("onnx", "openvino"), 9, False, "torch"),
        (("onnx",), None, False, "onnx"),
        (("onnx", "openvino"), 10, False, "onnx"),
        (("onnx", "openvino"), None, False, "openvino"),
        (("onnx", "openvino"), 1000, False, "openvino"),
    ],
)
def test_auto_on_a_cpu(machine, registry, packages, pictures, here, expected):
    machine(packages)
    assert (
        decide(BackendRequest(pictures=pictures), registry.model("sdnet"), Store(here)) == expected
    )


@pytest.mark.parametrize(
    ("model", "options", "machine_", "expected"),
    [
        ("sdnet", {}, {"gpu": True}, "torch"),
        ("sdnet", {"device": "cpu"}, {"gpu": True}, "openvino"),
        ("sdnet", {"device": "cuda:1"}, {}, "torch"),
        ("sdnet", {"compiled": True}, {}, "torch"),
        ("sdnet", {"half": True}, {}, "torch"),
        ("sdnet", {"half": True}, {"bfloat16": True}, "openvino"),
        ("stdnet", {}, {}, "torch"),  # computes each frame once
        ("inspyrenet", {}, {}, "torch"),  # processes large pictures in strips
        ("rcrnet-image", {}, {}, "torch"),  # takes a shortcut that depends on the size
        ("minet", {}, {}, "openvino"),
        ("raft-small", {}, {}, "torch"),
        ("stdnet", {"backend": "onnx"}, {}, "onnx"),
        ("sdnet", {"backend": "torch"}, {}, "torch"),
    ],
)
def test_auto_depends_on_model_device_and_precision(
    machine, registry, model, options, machine_, expected
):
    machine(**machine_)
    assert decide(BackendRequest(**options), registry.model(model), Store(True)) == expected


def test_graph_backends_run_saliency_models_only(machine, registry):
    machine()
    with pytest.raises(UsageError, match="cannot run 'raft-small'; use backend torch"):
        decide(BackendRequest("onnx"), registry.model("raft-small"), Store(True))


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (BackendRequest("onxx"), "no backend named 'onxx'. Did you mean 'onnx'"),
        (BackendRequest("onnx", "cuda"), "runs on the CPU; use backend torch with device cuda"),
        (BackendRequest("openvino", compiled=True), "only backend torch can compile the network"),
        (BackendRequest("onnx", half=True), "computes in float32"),
        (BackendRequest(device="gpu"), "no device called 'gpu'"),
        (BackendRequest(device="cuda:00"), "no device called 'cuda:00'"),
    ],
)
def test_contradicting_options_are_refused(machine, request_, text):
    machine()
    with pytest.raises(UsageError, match=text):
        check_request(request_)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_missing_package_is_named_with_its_command(machine, sod, name):
    machine(())
    result = sod("infer", "photo.jpg", "--backend", name)
    assert result.exit_code != 0
    with pytest.raises(UsageError, match="is not installed; run: pip install "):
        sodcli.load(backend=name)


def test_cuda_without_a_gpu_is_an_error(machine):
    machine()
    if torch.cuda.is_available():
        pytest.skip("this machine has the GPU")
    with pytest.raises(DeviceError, match="device cuda: "):
        sodcli.load("inspyrenet", device="cuda", offline=True)  # before a look for the weights


@pytest.mark.parametrize(
    ("platform", "hidden", "drivers", "expected"),
    [
        ("linux", None, ["/dev/null"], True),
        ("linux", None, ["/dev/no-such-device"], False),
        ("linux", "-1", ["/dev/null"], False),
        ("win32", None, [], False),
    ],
)
def test_a_gpu_is_detected_without_pytorch(monkeypatch, platform, hidden, drivers, expected):
    monkeypatch.setattr(device.sys, "platform", platform)
    monkeypatch.setattr(device, "_DRIVERS", drivers)
    monkeypatch.setattr(device, "find_library", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert device.accelerator_likely() is expected


def test_apple_silicon_is_detected(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device.sys, "platform", "darwin")
    monkeypatch.setattr(device.platform, "machine", lambda: "arm64")
    assert device.accelerator_likely()


@pytest.mark.parametrize(
    ("given", "count", "expected"), [("3", None, 3), ("3,2", None, 3), ("3", 5, 5)]
)
def test_threads_come_from_the_option_then_the_environment(monkeypatch, given, count, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert device.thread_count(count) == expected


@pytest.fixture
def cores(monkeypatch, tmp_path):
    """Simulate a machine of eight cores, six of them available; write its /proc and /sys files."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for name in ("_GROUPS", "_OWN_GROUP", "_LOAD"):
        monkeypatch.setattr(device, name, tmp_path / name)

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_the_default_number_of_threads_is_that_of_usable_cores(cores):
    assert device.thread_count() == 6


OLD = "_GROUPS/cpu/cpu.cfs_quota_us", "_GROUPS/cpu/cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"_GROUPS/cpu.max": "150000 100000"}, 2),
        ({"_GROUPS/cpu.max": "max 100000"}, 6),
        ({"_GROUPS/cpu.max": "damaged"}, 6),
        ({"_GROUPS/cpu.max": "1000 100000"}, 1),
        ({"_GROUPS/a/b/cpu.max": "max 100000", "_GROUPS/a/cpu.max": "300000 100000"}, 3),
        (dict(zip(OLD, ("-1", "100000"), strict=True)), 6),
        (dict(zip(OLD, ("400000", "100000"), strict=True)), 4),
    ],
)
def test_a_container_quota_limits_the_cores(cores, files, expected):
    cores({"_OWN_GROUP": "9:name=systemd:/\n0::/a/b\n", **files})
    assert device.thread_count() == expected


@pytest.fixture
def torch_threads():
    """Set four threads, as a program that uses the API may do."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("load", "threads", "remark"),
    [
        ("0.1 0.2 0.3 1/200 77", 4, ""),
        ("0.1 0.2 0.3 5/200 77", 4, ""),  # four cores are left
        ("0.1 0.2 0.3 7/200 77", 2, ", 6 of 8 cores are busy"),
        ("0.1 0.2 0.3 40/200 77", 1, ", 7 of 8 cores are busy"),
        ("nothing", 4, ""),
    ],
)
def test_torch_uses_the_idle_cores(cores, torch_threads, load, threads, remark):
    cores({"_OWN_GROUP": "0::/\n", "_LOAD": load})
    assert device.use_free_cores(None) == remark
    assert torch.get_num_threads() == threads
    assert device.use_free_cores(3) == ""
    assert torch.get_num_threads() == 3


def test_the_device_line_says_that_cores_are_busy(cores, torch_threads, small_weights):
    cores({"_OWN_GROUP": "0::/\n", "_LOAD": "9 9 9 99/200 77"})
    predictor = sodcli.load(weights=small_weights, backend="torch", device="cpu")
    assert predictor.backend.where == "cpu (1 thread), float32, torch, 7 of 8 cores are busy"
