"""Batching changes neither the results nor their order."""

import threading
import time
from itertools import count, islice

import numpy as np
import pytest
import torch

from sodcli.errors import DeviceError
from sodcli.frame import Frame
from sodcli.models._base import Prediction
from sodcli.runtime import batching
from sodcli.runtime.backends import Backend
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.batching import batched
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.stream import saliency_stream


class Parallel(Backend):
    """A backend with three workers that records which threads started as a worker."""

    workers = 3

    def __init__(self):
        self.started, self.restored = [], 0

    def start_worker(self):
        self.started.append(threading.current_thread().name)

    def workers_started(self):
        self.restored += 1


class Clock:
    """A clock that only ``sleep`` advances, independent of the load of the machine."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Work:
    """Squares numbers; an item takes ``each`` seconds, a call ``once`` more."""

    def __init__(self, once=0.0, each=0.0, fail_at=None, sleep=time.sleep):
        self.once, self.each, self.fail_at, self.sleep = once, each, fail_at, sleep
        self.calls, self.threads = [], []
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, items):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.calls.append(len(items))
            self.threads.append(threading.current_thread().name)
        if self.fail_at in items:
            raise DeviceError("out of memory")
        self.sleep(self.once + self.each * len(items))
        with self._lock:
            self.now -= 1
        return [item * item for item in items]


def squares(number):
    return [n * n for n in range(number)]


def no_worker_left():
    return not [t for t in threading.enumerate() if t.name.startswith("sod-worker")]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 9, 50])
@pytest.mark.parametrize("backend", [None, Backend(), Parallel()])
@pytest.mark.parametrize("batch", [None, 1, 4])
def test_every_item_is_answered_once_in_order(number, backend, batch):
    assert list(batched(Work(), range(number), backend=backend, batch=batch)) == squares(number)
    assert no_worker_left()


def test_a_requested_batch_size_is_used():
    work = Work()
    list(batched(work, range(10), backend=Parallel(), batch=4))
    assert work.calls == [4, 4, 2]
    assert set(work.threads) == {"MainThread"}


def test_batches_grow_while_that_is_faster(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(batching, "time", clock)
    costly_call, costly_item = (
        Work(once=0.02, sleep=clock.sleep),
        Work(each=0.005, sleep=clock.sleep),
    )
    list(batched(costly_call, range(200), backend=Backend(), batch=None))
    list(batched(costly_item, range(30), backend=Backend(), batch=None))
    assert costly_call.calls[:4] == [1, 1, 2, 2]
    assert costly_call.calls[-2] >= 4
    assert costly_item.calls[5:] == [1] * len(costly_item.calls[5:])


def test_batch_sizes_are_tried_within_the_free_memory(monkeypatch):
    left = (2.0**34 - n * 2.0**31 for n in range(8))
    monkeypatch.setattr(batching, "_free_bytes", lambda: next(left))
    work = Work(once=0.002)
    list(batched(work, range(60), backend=Backend(), batch=None))
    assert max(work.calls) <= 2


def test_memory_is_estimated_from_the_items_processed(monkeypatch):
    """33 GiB are free at first; a call takes 4 GiB an item; a quarter of the rest may be used."""
    taken = [0]

    class Hungry(Work):
        def __call__(self, items):
            taken[0] = max(taken[0], len(items))
            return super().__call__(items)

    monkeypatch.setattr(batching, "_free_bytes", lambda: 2.0**30 * (33 - 4 * taken[0]))
    work = Hungry(once=0.002)
    list(batched(work, range(60), backend=Backend(), batch=None))
    assert max(work.calls) == 1


@pytest.mark.parametrize("text", ["MemTotal: 9 kB\nMemAvailable:    2048 kB\n", "nothing", None])
def test_free_memory_comes_from_the_system(monkeypatch, tmp_path, text):
    if text:
        (tmp_path / "meminfo").write_text(text)
    monkeypatch.setattr(batching, "_MEMINFO", tmp_path / "meminfo")
    assert batching._free_bytes() == (2.0**21 if text and "Available" in text else 2.0**50)


def test_workers_process_one_item_per_call_at_the_same_time():
    work, backend = Work(each=0.01), Parallel()
    assert list(batched(work, range(30), backend=backend, batch=None)) == squares(30)
    assert work.most == 3
    assert set(work.calls) == {1}
    assert set(work.threads) == set(backend.started)
    assert len(backend.started) == 3
    assert backend.restored == 1


def test_a_single_item_uses_every_thread():
    work, backend = Work(), Parallel()
    assert list(batched(work, range(1), backend=backend, batch=None)) == [0]
    assert work.threads == ["MainThread"]
    assert not backend.started


def test_without_memory_for_two_there_are_no_workers(monkeypatch):
    monkeypatch.setattr(batching, "_affordable", lambda before, items: 1)
    work = Work()
    assert list(batched(work, range(9), backend=Parallel(), batch=None)) == squares(9)
    assert work.threads[1:] == ["MainThread"] * 8


def test_items_are_read_no_further_than_needed():
    read = []

    def endless():
        for n in count():
            read.append(n)
            yield n

    answers = batched(Work(), endless(), backend=Parallel(), batch=None)
    assert list(islice(answers, 40)) == squares(40)
    assert len(read) <= 40 + 3 + 1
    answers.close()
    assert no_worker_left()


def test_a_failure_is_raised_in_order_and_ends_the_workers():
    answers = batched(Work(fail_at=20), range(99), backend=Parallel(), batch=None)
    seen = []
    with pytest.raises(DeviceError, match="out of memory"):
        seen.extend(answers)
    assert seen == squares(20)
    assert no_worker_left()


class Threads(torch.nn.Module):
    """Returns the number of threads that PyTorch uses in the calling thread."""

    def forward(self, x):
        level = torch.full((len(x), 1, *x.shape[2:]), float(torch.get_num_threads()))
        return Prediction(level)


def test_each_worker_of_pytorch_uses_its_share_of_the_threads(registry):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        backend = TorchBackend(Threads(), torch.device("cpu"), half=False)
        assert backend.workers == 3
        predictor = Predictor(registry.model("sdnet"), backend.module, backend, size=32)
        frames = [Frame(np.zeros((32, 32, 3), np.uint8), n, "x") for n in range(12)]
        answers = [frame.saliency[0, 0] for frame in saliency_stream(predictor, frames, batch=None)]
        alone = [frame.saliency[0, 0] for frame in saliency_stream(predictor, frames, batch=1)]
        assert answers == pytest.approx([1 / (1 + np.exp(-1))] * 12)
        assert alone == pytest.approx([1 / (1 + np.exp(-3))] * 12)
        seen = []
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert seen == [3]  # other threads keep their number
    finally:
        torch.set_num_threads(before)
