"""Graphs are made once, cached, and made again when they are damaged."""

import hashlib
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import sodcli
from sodcli.errors import DeviceError, WeightsError
from sodcli.frame import Frame
from sodcli.models import build_model
from sodcli.models._base import Prediction
from sodcli.runtime.backends import graph_cache as graphs_module
from sodcli.runtime.backends.engines import Engine
from sodcli.runtime.backends.graph_backend import GraphBackend
from sodcli.runtime.backends.graph_cache import GraphError, Graphs, folder, shipped
from sodcli.runtime.batching import batched
from sodcli.runtime.model_source import ModelSource, find_network
from sodcli.runtime.onnx.graph_file import annotate
from sodcli.runtime.onnx.trace import graph_of
from sodcli.runtime.stream import picture_stream, saliency_stream
from sodcli.weights.onnx_file import onnx_metadata
from sodcli.weights.read import read_weights
from tests.conftest import rare
from tests.draw_kit import draw_photo
from tests.graph_kit import ENGINES, engine

PHOTO = draw_photo(3, (60, 80))[0]


@pytest.fixture
def exports(monkeypatch):
    """Return a list that grows each time a graph is made."""
    from sodcli.runtime.onnx import trace as export

    made, write = [], export.write_graph

    def counted(path, *rest):
        made.append(path)
        write(path, *rest)

    monkeypatch.setattr(export, "write_graph", counted)
    return made


def answer(weights, backend):
    return sodcli.load(weights=weights, backend=backend, device="cpu", size=64)(PHOTO)


@pytest.fixture(params=ENGINES)
def backend(request):
    return engine(request.param).name


@pytest.mark.slow
def test_a_graph_is_made_once_and_answers_like_torch(small_weights, exports, backend):
    first = answer(small_weights, backend)
    again = answer(small_weights, backend)
    assert len(exports) == 1
    assert np.array_equal(first, again)
    assert np.abs(first - answer(small_weights, "torch")).max() <= 1 / 255


@pytest.mark.slow
def test_one_graph_serves_every_size_and_every_engine(small_weights, exports):
    for name in ENGINES:
        predictor = sodcli.load(weights=small_weights, backend=engine(name).name, size=64)
        for hw in ((64, 64), (67, 90)):
            predictor.size_hw = hw
            assert predictor(PHOTO).shape == PHOTO.shape[:2]
    assert len(exports) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage"),
    [("onnx", b""), ("onnx", b"no graph at all"), ("onnx", None), ("openvino", None)],
)
def test_a_damaged_graph_is_made_again(small_weights, exports, name, damage):
    backend = engine(name).name
    good = answer(small_weights, backend)
    (path,) = folder().glob("*.onnx")
    path.write_bytes(path.read_bytes()[:100_000] if damage is None else damage)
    assert np.array_equal(answer(small_weights, backend), good)
    assert len(exports) == 2
    assert answer(small_weights, backend).shape == good.shape
    assert len(exports) == 2


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_not_needed(small_weights, exports, backend):
    home = folder().parent
    home.mkdir(parents=True, exist_ok=True)
    folder().write_text("a file where the folder should be")
    assert answer(small_weights, backend).shape == PHOTO.shape[:2]
    assert folder().is_file()
    assert len(exports) == 2  # one failed attempt in the cache, one in a temporary folder


def test_other_weights_have_another_graph(small_weights, registry, tmp_path):
    other = tmp_path / "other.pth"
    other.write_bytes(small_weights.read_bytes() + b"\0")
    spec = registry.model("sdnet")
    names = [
        Graphs(ModelSource(spec, path, registry))._path("plain", None)
        for path in (small_weights, other)
    ]
    assert names[0] != names[1]
    assert hashlib.sha256(other.read_bytes()).hexdigest()[:16] in names[1].name


@pytest.mark.slow
def test_clip_models_run_clip_by_clip_and_film_frames_as_a_whole(registry, tmp_path):
    backend = engine("onnx").name
    path = tmp_path / "stdnet.safetensors"
    save_file(build_model(registry.model("stdnet")).state_dict(), path, {"model": "stdnet"})
    frames = [Frame(draw_photo(i, (40, 56))[0], i, "") for i in range(5)]
    maps = {}
    for name in ("torch", backend):
        predictor = sodcli.load(weights=path, backend=name, device="cpu", size=32)
        maps[name] = [frame.saliency for frame in saliency_stream(predictor, frames)]
        maps[name].append(predictor(PHOTO))
    for ours, theirs in zip(maps["torch"], maps[backend], strict=True):
        assert np.abs(ours - theirs).max() <= 1 / 255


@pytest.mark.slow
def test_the_pytorch_module_is_available(small_weights, backend):
    predictor = sodcli.load(weights=small_weights, backend=backend)
    assert sum(p.numel() for p in predictor.module.parameters()) == 705_725
    assert predictor.module is predictor.module


def test_damaged_weights_are_reported_when_the_graph_is_made(tmp_path, small_weights, backend):
    path = tmp_path / "cut.pth"
    path.write_bytes(small_weights.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"cut\.pth"):
        sodcli.load("sdnet", weights=path, backend=backend)(PHOTO)


@pytest.mark.parametrize("name", ["torch", *ENGINES])
def test_weights_that_are_not_finite_are_reported_by_every_backend(small_weights, name):
    """OpenVINO's clamp turns NaN into numbers, so the output alone does not show them."""
    state = dict(read_weights(small_weights).state)
    key = next(key for key, tensor in state.items() if tensor.ndim == 4)
    state[key][0, 0, 0, 0] = torch.nan
    torch.save(state, small_weights)
    backend = name if name == "torch" else engine(name).name
    with pytest.raises(WeightsError, match=f"{key} holds values that are"):
        sodcli.load("sdnet", weights=small_weights, backend=backend, device="cpu")(PHOTO)


@pytest.mark.parametrize("name", [ENGINES[0], *rare("torch", *ENGINES[1:])])
def test_weights_that_fold_to_nan_are_reported_by_every_backend(tmp_path, registry, name):
    module = build_model(registry.model("lite"))
    norms = [one for one in module.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    norms[0].running_var.fill_(-1)
    path = tmp_path / "lite.safetensors"
    save_file(module.state_dict(), path, {"model": "lite"})
    backend = name if name == "torch" else engine(name).name
    with pytest.raises(WeightsError, match="folding gives values that are not finite"):
        sodcli.load(weights=path, backend=backend, device="cpu")(PHOTO)


class NoFiles:
    """A graph cache without files."""

    def opened(self, kind, shape, open_graph):
        return open_graph(None)


class FixedEngine(Engine):
    """An engine with three workers; ``make`` returns its graph for a number of threads."""

    name = "fixed"
    workers = 3

    def __init__(self, make):
        super().__init__(threads=3)
        object.__setattr__(self, "make", make)

    def open_graph(self, path, threads):
        return self.make(threads)


def backend_of(run):
    return GraphBackend(NoFiles(), FixedEngine(lambda threads: run))


def test_answers_that_are_not_finite_are_refused():
    backend = backend_of(lambda inputs: np.full((1, 1, 8, 8), np.nan, np.float32))
    with pytest.raises(WeightsError, match="not finite"):
        backend.run(np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
@pytest.mark.parametrize("when", ["opening", "running"])
def test_memory_running_out_is_a_device_error_with_advice(error, when):
    def fail(_):
        raise error

    engine = FixedEngine(fail if when == "opening" else lambda threads: fail)
    with pytest.raises(DeviceError, match=r"2 picture\(s\) of 8x8; lower batch or size"):
        GraphBackend(NoFiles(), engine).run(np.zeros((2, 3, 8, 8), np.float32))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory")
def test_onnx_runtime_running_out_of_memory_is_a_device_error():
    """It raises exceptions of its own. (OpenVINO cannot be tested so: it may crash.)"""
    import resource

    graphs = sodcli.load(backend=engine("onnx").name, device="cpu", threads=1).backend
    pictures = np.random.default_rng(0).standard_normal((64, 3, 288, 288)).astype(np.float32)
    good = graphs.run(pictures[:2])
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, before[1]))
        with pytest.raises(DeviceError, match=r"64 picture\(s\) of 288x288; lower batch or size"):
            graphs.run(pictures)
        assert np.array_equal(graphs.run(pictures[:2]), good)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_graph_of_clips_of_one_frame_takes_pictures():
    def run(inputs):
        (clips,) = inputs
        return clips[:, :, :1]

    pictures = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    backend = GraphBackend(NoFiles(), FixedEngine(lambda threads: run), (1, 1, 3, 8, 8))
    assert np.array_equal(backend.run(pictures), pictures[:, :1])


class Brightness(torch.nn.Module):
    def forward(self, x):
        return Prediction(x.mean(1, keepdim=True))


def test_graphs_are_made_in_several_threads(registry):
    """PyTorch's exporter asserts that only one thread uses it."""
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: graph_of(registry.model("lite"), Brightness()), range(8)))
    assert len(set(made)) == 1


def test_a_pickled_source_holds_no_tensors_and_no_function(small_weights, registry):
    source = find_network("sdnet", small_weights, registry)
    source = replace(source, read=source.raw, note=lambda text: None)
    assert len(pickle.dumps(Graphs(source))) < 100_000
    copy = pickle.loads(pickle.dumps(source))
    assert (copy.spec, copy.path) == (source.spec, source.path)
    assert copy.raw.state.keys() == source.raw.state.keys()


def test_other_errors_of_an_engine_stay_what_they_are():
    def run(inputs):
        raise RuntimeError("odd")

    with pytest.raises(RuntimeError, match="odd"):
        backend_of(run).run(np.zeros((2, 3, 8, 8), np.float32))


def test_the_shipped_graph_belongs_to_the_shipped_weights(registry):
    network = find_network(None, None, registry)
    path = shipped(network)
    told = onnx_metadata(path)
    remake = "run: python -m sodcli.runtime.onnx.export"
    assert told["weights_sha256"] == network.sha256, remake
    assert told["sodcli"] == sodcli.__version__, remake
    assert path.stat().st_size < 7e6


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 208])
def test_the_shipped_graph_gives_the_maps_of_torch(exports, backend, size):
    ours, theirs = (
        sodcli.load(backend=name, device="cpu", size=size)(PHOTO) for name in ("torch", backend)
    )
    assert np.abs(ours - theirs).max() <= 1e-3
    assert not exports


def test_a_damaged_shipped_graph_is_reported(registry, monkeypatch, tmp_path):
    path = tmp_path / "sdnet.onnx"
    path.write_bytes(b"damaged")
    monkeypatch.setattr(graphs_module, "shipped", lambda network: path)

    def broken(path):
        raise GraphError

    with pytest.raises(WeightsError, match="install sodcli again"):
        Graphs(find_network(None, None, registry)).opened("plain", None, broken)


@pytest.mark.parametrize("shape", ["0 3 320 320", "1 3 320 64", "3 320 320"])
def test_a_graph_of_an_impossible_shape_is_refused(registry, tmp_path, shape):
    made, path = shipped(find_network(None, None, registry)), tmp_path / "x.onnx"
    path.write_bytes(annotate(made.read_bytes(), {**onnx_metadata(made), "shape": shape}))
    with pytest.raises(WeightsError, match=rf"damaged metadata \(shape {shape}\)"):
        find_network(None, path, registry)


def test_each_worker_runs_a_graph_on_its_share_of_the_threads():
    opened = []

    def make(threads):
        opened.append(threads)
        return lambda inputs: np.full((1, 1, 8, 8), threads, np.float32)

    backend = GraphBackend(NoFiles(), FixedEngine(make))
    item = np.zeros((1, 3, 8, 8), np.float32)
    answers = list(
        batched(lambda items: [backend.run(items[0])], [item] * 30, backend=backend, batch=None)
    )
    assert len(answers) == 30
    assert answers[0].max() == 1  # the first one was also processed by a worker
    assert backend.run(item).max() == 3  # other threads use all threads
    assert opened == [1, 3]


@pytest.mark.slow
def test_workers_give_the_maps_of_one_thread(small_weights, backend):
    photos = [Frame(draw_photo(n, (40, 56))[0], n, "") for n in range(24)]
    predictor = sodcli.load(weights=small_weights, backend=backend, size=64, threads=2, pictures=24)
    assert predictor.backend.workers == (2 if backend == "onnx" else 1)
    many = [frame.saliency for frame in picture_stream(predictor, photos, None)]
    for photo, saliency in zip(photos, many, strict=True):
        assert np.abs(predictor(photo.rgb) - saliency).max() < 1e-5
