"""The loop of ``sod infer`` and the choice of a device, on simulated machines."""

import numpy as np
import pytest
import torch
from PIL import Image

from sodcli.errors import DeviceError, UsageError, WeightsError
from sodcli.imaging.compose import GREEN_RGB, Look, flat
from sodcli.infer.photos import infer
from sodcli.io.settings import InferSettings, Style
from sodcli.io.sinks import plan_outputs
from sodcli.io.sources import find_inputs
from sodcli.models._base import Prediction
from sodcli.runtime.backends import Backend
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.device import choose_device, describe_device, processor
from sodcli.runtime.predictor import Predictor
from tests.colour_kit import p3_in_srgb, p3_profile
from tests.draw_kit import draw_photo
from tests.film_kit import echo_predictor

MAP = Style("map", "map")


class SmallCard(Backend):
    """A backend with memory for ``room`` pictures that finds everything salient."""

    def __init__(self, room):
        self.room, self.batches = room, []

    def run(self, batch):
        if len(batch) > self.room:
            raise DeviceError("cuda: out of memory")
        self.batches.append(len(batch))
        return np.full((len(batch), 1, 32, 32), 9, np.float32)


@pytest.fixture
def jobs(tmp_path):
    for seed in range(5):
        Image.fromarray(draw_photo(seed, (40, 50))[0]).save(tmp_path / f"{seed}.png")
    (tmp_path / "2.png").write_bytes(b"broken")
    inputs = find_inputs([str(tmp_path)], recursive=False)
    return plan_outputs(inputs, InferSettings(styles=(MAP,)))


def run(jobs, registry, backend, **settings):
    predictor = Predictor(registry.model("sdnet"), torch.nn.Identity(), backend, size=32)
    seen = []
    outcomes = infer(jobs, predictor, InferSettings(**settings), seen.append)
    assert seen == outcomes
    return [outcome.status for outcome in sorted(outcomes, key=lambda o: o.job.source)]


@pytest.mark.parametrize("room", [1, 2, 5])
def test_a_batch_is_halved_until_it_fits_in_memory(jobs, registry, room):
    backend = SmallCard(room)
    assert run(jobs, registry, backend, batch=5) == ["done", "done", "failed", "done", "done"]
    assert sum(backend.batches) == 4
    assert max(backend.batches) <= room


def test_too_little_memory_for_one_photo_ends_the_run(jobs, registry):
    with pytest.raises(DeviceError, match="out of memory"):
        run(jobs, registry, SmallCard(0), batch=2)
    assert not jobs[0].exists()


def test_automatic_batch_sizes_fit_in_memory(jobs, registry):
    backend = SmallCard(2)
    assert run(jobs, registry, backend, batch=None) == ["done", "done", "failed", "done", "done"]
    assert sum(backend.batches) == 4
    assert max(backend.batches) <= 2


@pytest.mark.parametrize("batch", [1, None])
def test_fail_fast_leaves_the_rest(jobs, registry, batch):
    statuses = run(jobs, registry, SmallCard(5), fail_fast=True, batch=batch)
    assert statuses.count("failed") == 1
    assert len(statuses) < 5
    assert [job.exists() for job in jobs] == [True, True, False, False, False]


def test_outcomes_come_in_the_order_of_the_inputs(jobs, registry):
    predictor = Predictor(registry.model("sdnet"), torch.nn.Identity(), SmallCard(5), size=32)
    seen = []
    infer(jobs, predictor, InferSettings(batch=None), seen.append)
    assert [outcome.job for outcome in seen] == jobs


GRASS, SHIRT, BEHIND = (60, 200, 90), (255, 80, 60), (200, 60, 40)


def made(tmp_path, registry, kind):
    """Process a Display P3 photo: a shirt on the right, grass on the left. Return pixels, ICC."""
    rgb = np.where(np.arange(64)[:, None] < 32, GRASS, SHIRT) * np.ones((64, 1, 1))
    Image.fromarray(rgb.astype(np.uint8)).save(tmp_path / "a.png", icc_profile=p3_profile())
    style = Style(kind, kind, Look(flat(BEHIND), refine=False))
    settings = InferSettings(styles=(style,), threshold=0.5)
    jobs = plan_outputs(find_inputs([str(tmp_path / "a.png")], recursive=False), settings)
    (outcome,) = infer(jobs, echo_predictor(registry), settings, lambda outcome: None)
    with Image.open(outcome.job.target) as picture:
        return np.asarray(picture).astype(int), picture.info.get("icc_profile")


@pytest.mark.parametrize("kind", ["green", "picture", "overlay"])
def test_output_types_that_add_colours_are_srgb(tmp_path, registry, kind):
    out, icc = made(tmp_path, registry, kind)
    grass, shirt = p3_in_srgb(GRASS), p3_in_srgb(SHIRT)
    assert np.abs(grass - GRASS).max() > 20
    left = {"green": GREEN_RGB, "picture": BEHIND, "overlay": grass}[kind]
    right = (shirt + GREEN_RGB) / 2 if kind == "overlay" else shirt
    assert icc is None
    assert np.abs(out[:, :28] - left).max() <= (2 if kind == "overlay" else 0)
    assert np.abs(out[:, 36:] - right).max() <= 2


@pytest.mark.parametrize("kind", ["rgba", "blur", "map"])
def test_output_types_without_added_colours_keep_the_profile(tmp_path, registry, kind):
    out, icc = made(tmp_path, registry, kind)
    assert icc == (None if kind == "map" else p3_profile())
    assert (out[:, 36:, :3] == SHIRT).all() if kind != "map" else (out[:, 36:] == 255).all()


class Exhausted(torch.nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_memory_running_out_is_a_device_error_with_advice(error):
    backend = TorchBackend(Exhausted(error), torch.device("cpu"), half=False)
    with pytest.raises(DeviceError, match=r"2 picture\(s\) of 64x32; lower batch or size"):
        backend.run(np.zeros((2, 3, 32, 64), np.float32))


def test_other_errors_of_the_network_stay_what_they_are():
    backend = TorchBackend(Exhausted(RuntimeError("odd")), torch.device("cpu"), half=False)
    with pytest.raises(RuntimeError, match="odd"):
        backend.run(np.zeros((1, 3, 32, 32), np.float32))


class Constant(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return Prediction(torch.full((len(x), 1, *x.shape[2:]), self.value))


def test_a_map_that_is_not_finite_is_an_error():
    backend = TorchBackend(Constant(float("nan")), torch.device("cpu"), half=False)
    with pytest.raises(WeightsError, match="not finite"):
        backend.run(np.zeros((1, 3, 32, 32), np.float32))


def play_machine(monkeypatch, *, cuda=0, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("machine", "wanted", "expected"),
    [
        ({}, "auto", "cpu"),
        ({"cuda": 2}, "auto", "cuda"),
        ({"mps": True}, "auto", "mps"),
        ({"cuda": 2}, "cuda:1", "cuda:1"),
        ({"cuda": 1}, "cpu", "cpu"),
    ],
)
def test_the_requested_device_is_used(monkeypatch, machine, wanted, expected):
    play_machine(monkeypatch, **machine)
    assert choose_device(wanted) == torch.device(expected)


@pytest.mark.parametrize(
    ("machine", "wanted", "text"),
    [
        ({}, "cuda", "use device cpu"),
        ({"cuda": 1}, "cuda:1", "this machine has 1 CUDA device"),
        ({}, "mps", "no Apple GPU"),
    ],
)
def test_a_missing_device_is_never_replaced(monkeypatch, machine, wanted, text):
    play_machine(monkeypatch, **machine)
    with pytest.raises(DeviceError, match=text):
        choose_device(wanted)


def test_an_unknown_device_is_a_usage_error():
    with pytest.raises(UsageError, match="'gpu'"):
        choose_device("gpu")


def test_the_device_line_names_device_and_precision():
    line = describe_device(torch.device("cpu"), half=True)
    assert line == f"{processor(torch.get_num_threads())}, bfloat16"
    assert [processor(1), processor(8)] == ["cpu (1 thread)", "cpu (8 threads)"]
