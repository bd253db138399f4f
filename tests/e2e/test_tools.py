"""``sod reparam`` and ``sod speed``."""

import json
import re
from functools import partial
from itertools import count
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from sodcli.models import build_model
from sodcli.models.pdc import PixelDifferenceConv
from sodcli.models.restore import describe
from sodcli.runtime.backends.choose import installed
from sodcli.weights.cache import stored
from sodcli.weights.read import read_pickle, read_weights
from sodcli.weights.save import save_weights
from tests.conftest import manifest, rule_weights
from tests.draw_kit import draw_photo
from tests.graph_kit import ENGINES, engine


def test_folding_is_verified_and_changes_no_picture(sod, tmp_path, small_weights, photo):
    target = tmp_path / "x.safetensors"
    result = sod("reparam", small_weights, "-o", target, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["difference"] <= 1e-5
    assert (report["parameters_before"], report["parameters_after"]) == (745_197, 705_725)
    assert read_weights(target).metadata["form"] == "folded"
    maps = []
    for name, weights in (("before", small_weights), ("after", target)):
        out = tmp_path / f"{name}.png"
        sod("infer", photo, "-t", "map", "-w", weights, "-o", out)
        maps.append(cv2.imread(str(out), cv2.IMREAD_UNCHANGED).astype(int))
    assert np.abs(maps[0] - maps[1]).max() <= 1


@pytest.fixture
def photo(tmp_path):
    rgb, _ = draw_photo(5)
    cv2.imwrite(str(tmp_path / "photo.png"), rgb[..., ::-1])
    return tmp_path / "photo.png"


def test_a_pth_is_written_in_the_published_layout(sod, tmp_path, small_weights):
    result = sod("reparam", small_weights)
    assert result.stdout == f"{tmp_path / 'sdnet_reparam.pth'}\n"
    state = read_pickle(tmp_path / "sdnet_reparam.pth")
    baseline = manifest("stdnet/manifest_sdnet.json")["baseline"]
    assert {k: list(v.shape) for k, v in state.items()} == {k: shape for k, shape, _ in baseline}


def test_a_named_model_is_folded_into_the_working_folder(sod, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = sod("reparam", "sdnet")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "sdnet_reparam.safetensors\n"
    assert [path.name for path in tmp_path.iterdir()] == ["sdnet_reparam.safetensors"]


def test_weights_whose_published_layout_has_no_folded_form_stay_in_ours(sod, tmp_path, registry):
    source = tmp_path / "lite.pth"
    source.write_bytes(stored(registry.weights["lite"]).read_bytes())
    for wanted in ("lite", source):
        result = sod("reparam", wanted, "-o", tmp_path / "x.pth")
        told = "the published layout of 'lite' has no folded form; write .safetensors"
        assert (result.exit_code, result.stderr) == (2, f"error: {tmp_path / 'x.pth'}: {told}\n")
    result = sod("reparam", source)
    assert result.stdout == f"{tmp_path / 'lite_reparam.safetensors'}\n"
    assert {path.name for path in tmp_path.iterdir()} == {"lite.pth", "lite_reparam.safetensors"}


def test_a_folded_file_is_refused(sod, small_weights, tmp_path):
    folded = tmp_path / "folded.safetensors"
    sod("reparam", small_weights, "-o", folded)
    for path in (folded, tmp_path / "sdnet_reparam.pth"):
        if path.suffix == ".pth":
            sod("reparam", small_weights)
        result = sod("reparam", path, "-o", tmp_path / "again.safetensors")
        assert result.exit_code == 1
        assert result.stderr == f"error: {path} is already reparameterised\n"
    assert not (tmp_path / "again.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["-o", "sdnet.pth"], 2, "would overwrite"),
        (["-o", "x.onnx"], 2, "safetensors or .pth"),
        (["-m", "sdnet-a"], 1, "weights of 'sdnet'"),
    ],
)
def test_nothing_is_written_on_error(sod, tmp_path, monkeypatch, small_weights, words, code, text):
    monkeypatch.chdir(tmp_path)
    before = small_weights.read_bytes()
    result = sod("reparam", "sdnet.pth", *words)
    assert result.exit_code == code
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["sdnet.pth"]
    assert small_weights.read_bytes() == before


def test_a_difference_above_the_tolerance_is_an_error(sod, tmp_path):
    entries = manifest("stdnet/manifest_sdneta.json")["training"]
    torch.save(rule_weights(entries), tmp_path / "a.pth")
    result = sod("reparam", tmp_path / "a.pth", "--tol", "0")
    assert result.exit_code == 1
    assert "nothing was written" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_a_wrong_kernel_is_detected(sod, tmp_path, monkeypatch, small_weights):
    """The training form uses the same kernel; comparing it with the folded form shows nothing."""
    right = PixelDifferenceConv.mixed_kernel

    def wrong(mix):
        return right(mix) + 0.001

    monkeypatch.setattr(PixelDifferenceConv, "mixed_kernel", wrong)
    result = sod("reparam", small_weights, "-o", tmp_path / "x.safetensors")
    assert result.exit_code == 1
    assert "nothing was written" in result.stderr
    assert not (tmp_path / "x.safetensors").exists()


def test_a_missing_checkpoint_is_exit_4(sod):
    assert sod("reparam", "nowhere.pth").exit_code == 4


def test_sdnet_a_is_folded(sod, tmp_path):
    torch.save(
        rule_weights(manifest("stdnet/manifest_sdneta.json")["training"]), tmp_path / "a.pth"
    )
    report = json.loads(sod("reparam", tmp_path / "a.pth", "--json").stdout)
    assert report["model"] == "sdnet-a"
    assert report["difference"] <= 1e-5
    assert report["parameters_after"] == 818_531


@pytest.mark.parametrize(
    ("model", "size", "folded", "parameters", "gflops"),
    [
        ("sdnet", 320, True, 705_725, 3.67),
        ("sdnet", 320, False, 745_197, 4.76),
        ("sdnet-a", 384, True, 818_531, 5.76),
        ("stdnet", 128, True, 874_469, 8.87),
    ],
)
def test_speed_prints_every_figure(sod, model, size, folded, parameters, gflops):
    form = "--reparam" if folded else "--no-reparam"
    words = ["-m", model, "--size", size, "--runs", 2, "--warmup", 1, form, "--device", "cpu"]
    report = json.loads(sod("speed", *words, "--json").stdout)
    assert report["scope"] == "network only"
    assert report["parameters"] == parameters
    if folded:  # the training form also runs one convolution per block here
        assert report["gflops"] == pytest.approx(gflops, rel=0.01)
    assert 0 < report["median_ms"] <= report["p90_ms"]
    frames = 8 if model == "stdnet" else 1
    assert report["fps"] == pytest.approx(1000 * frames / report["median_ms"])
    assert report["peak_memory_mb"] > 50
    assert {"sodcli", "torch", "python", "machine"} <= report["versions"].keys()


def test_a_film_model_is_folded_and_processes_a_photo(sod, tmp_path, photo):
    entries = manifest("stdnet/manifest_stdnet.json")["training"]
    torch.save(rule_weights(entries), tmp_path / "film.pth")
    report = json.loads(sod("reparam", tmp_path / "film.pth", "--json").stdout)
    assert report["model"] == "stdnet"
    assert report["parameters_after"] == 874_469
    target = tmp_path / "cut_out.png"
    result = sod("infer", photo, "-w", tmp_path / "film.pth", "--size", 64, "-o", target, "-q")
    assert result.exit_code == 0, result.stderr
    assert target.stat().st_size > 0


def test_speed_of_a_file_is_at_the_size_it_was_trained_at(sod, tmp_path, registry):
    spec = registry.model("sdnet")
    module = build_model(spec)
    about = {**describe(spec, module, spec.args), "size": "96"}
    save_weights(tmp_path / "w.safetensors", module.state_dict(), about)
    words = ("speed", "-w", tmp_path / "w.safetensors", "--runs", 1, "--warmup", 0, "--json")
    for more, size in (((), 96), (("--size", 64), 64), (("--pipeline",), 96)):
        assert json.loads(sod(*words, *more).stdout)["size"] == size


@pytest.fixture
def _threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_threads_as_before")
def test_speed_prints_a_table(sod):
    result = sod("speed", "--size", 64, "--runs", 2, "--warmup", 0, "--batch", 2, "--half")
    assert result.exit_code == 0, result.stderr
    assert "network only" in result.stdout
    assert "2x1 of 64x64" in result.stdout
    assert re.search(r"^network only, torch, .*, bfloat16, 2 runs$", result.stdout, re.MULTILINE)
    whole = sod("speed", "--size", 64, "--runs", 1, "--warmup", 0, "--threads", 1)
    assert "\nnetwork only, torch, cpu (1 thread), float32, 1 run\n" in whole.stdout


def test_the_pipeline_is_timed_from_file_to_file(sod):
    words = ["--pipeline", "--size", 64, "--runs", 3, "--warmup", 1, "--json"]
    result = sod("speed", *words)
    report = json.loads(result.stdout)
    assert report["scope"].startswith("pipeline")
    assert report["runs"] == 3


def test_the_pipeline_counts_the_photos_of_a_batch(sod, monkeypatch):
    """One photo of warm-up and three timed ones, in batches of two: one batch, then two."""
    ticks = (at // 2 + at % 2 / 1000 for at in count())  # a batch a second
    clock = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr("sodcli.infer.speed.time", clock)
    words = ["--pipeline", "--size", 64, "--runs", 3, "--warmup", 0, "--batch", 2, "--json"]
    report = json.loads(sod("speed", *words).stdout)
    assert next(ticks) == 3  # after six photos
    assert (report["batch"], report["runs"]) == (2, 4)
    assert report["fps"] == pytest.approx(2)
    assert [report["median_ms"], report["p90_ms"]] == pytest.approx([1000, 1000])


def test_the_pipeline_runs_like_sod_infer(sod, tmp_path):
    """With the engine chosen for that number of photos, at the size of the built-in weights."""
    cv2.imwrite(str(tmp_path / "a.png"), draw_photo(5)[0])
    cv2.imwrite(str(tmp_path / "b.png"), draw_photo(6)[0])
    seen = sod("infer", tmp_path, "-v").stderr
    report = json.loads(sod("speed", "--pipeline", "--runs", 1, "--warmup", 0, "--json").stdout)
    assert f", {report['backend']}, model lite" in seen
    assert f"seen at {report['size']}x{report['size']}" in seen
    assert report["fps"] == pytest.approx(1000 / report["median_ms"])


def test_the_pipeline_of_a_model_without_weights_is_timed_with_fresh_ones(sod, tmp_path):
    words = ["-m", "sdnet-a", "--size", 64, "--runs", 1, "--warmup", 0, "--json"]
    report = json.loads(sod("speed", "--pipeline", *words).stdout)
    assert (report["backend"], report["size"], report["model"]) == ("torch", 64, "sdnet-a")


@pytest.mark.parametrize("backend", ENGINES)
def test_a_graph_can_be_timed(sod, backend):
    engine(backend)
    words = ["--backend", backend, "--size", 32, "--runs", 2, "--warmup", 1]
    result = sod("speed", *words, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["backend"], report["device"]) == (backend, "cpu")
    assert backend in sod("speed", *words).stdout
    through = sod("speed", "--pipeline", *words, "--json")
    assert through.exit_code == 0, through.stderr
    assert json.loads(through.stdout)["backend"] == backend


QUICK = ["--size", 32, "--seconds", 0, "--warmup", 1, "--device", "cpu"]


def test_models_by_engines_make_one_table(sod):
    models = ["lite", "sdnet"]
    words = [*(word for name in models for word in ("-m", name)), *QUICK]
    engines = ["torch", *(name for name in ENGINES if installed(name))]
    results = json.loads(sod("speed", *words, "--backend", "all", "--json").stdout)
    pairs = [(found["model"], found["backend"]) for found in results]
    assert pairs == [(model, engine) for model in models for engine in engines]
    text = sod("speed", *words, "--backend", "torch", "--backend", "onnx").stdout.splitlines()
    assert text[0].split() == ["model", "input", "parameters", "GFLOP", "torch", "onnx"]
    assert [line.split()[0] for line in text[2:]] == models
    assert all(line.count(" fps") == 2 for line in text[2:])
    lines = sod("speed", *words, "--backend", "torch", "--markdown").stdout.splitlines()
    assert re.match(r"network only, cpu \(.*float32; sodcli ", lines[0])
    head, rule, *rows = (line.strip("| ").split(" | ") for line in lines[2:])
    assert head == ["model", "input", "parameters", "GFLOP", "torch"]
    assert len(rule) == len(head)
    assert [row[0] for row in rows] == models
    assert all(re.fullmatch(r"[\d.]+ ms, [\d.]+ fps", row[4]) for row in rows)


def test_a_measurement_ends_by_time_after_three_runs_or_more(sod, monkeypatch):
    """Each reading of the simulated clock is a second later."""
    clock = SimpleNamespace(perf_counter=partial(next, count()))
    monkeypatch.setattr("sodcli.runtime.speed.time", clock)
    words = ["--size", 32, "--warmup", 0, "--device", "cpu", "--json"]
    for seconds, runs in ((1, 3), (7, 7)):
        report = json.loads(sod("speed", "--seconds", seconds, *words).stdout)
        assert (report["runs"], report["median_ms"]) == (runs, 1000)


def test_a_pipeline_ends_by_time(sod):
    report = json.loads(sod("speed", "--pipeline", *QUICK, "--backend", "torch", "--json").stdout)
    assert report["runs"] == 3


def test_weights_determine_the_model(sod, small_weights):
    report = json.loads(sod("speed", "-w", small_weights, *QUICK, "--json").stdout)
    assert (report["model"], report["parameters"]) == ("sdnet", 705_725)
    through = sod("speed", "-w", small_weights, *QUICK, "--pipeline", "--json")
    assert json.loads(through.stdout)["model"] == "sdnet"
    result = sod("speed", "-m", "lite", "-m", "sdnet", "-w", small_weights)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "-w is for one model" in result.stderr
    assert sod("speed", "-w", "nowhere.pth").exit_code == 4
    for words in (["-m", "lite"], ["-m", "stdnet", "--pipeline"]):
        clip = sod("speed", *words, "--clip", 3)
        assert (clip.exit_code, clip.stderr.count("--clip is for the networks of film")) == (2, 1)
    assert "no backend named 'gpu'" in sod("speed", "--backend", "gpu").stderr
