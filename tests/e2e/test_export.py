"""``sod export``: files that other programs can use, or one line why not."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import sodcli
from sodcli.errors import UsageError
from sodcli.imaging.tensors import sigmoid
from sodcli.runtime.onnx import export as export_file
from sodcli.runtime.onnx import graph_file
from tests.conftest import draw_photo

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
pytest.importorskip("onnx", reason="the extra [onnx] is not installed")


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "net.onnx"


def test_an_image_model_takes_any_batch_and_size(sod, target, small_weights):
    result = sod("export", small_weights, "-o", target, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["difference"] < 1e-4
    assert report["input"] == ["N", "3", "H", "W"]
    assert [(one.name, one.shape) for one in session_of(target).get_inputs()] == [
        ("x", ["N", 3, "H", "W"])
    ]
    assert session_of(target).get_outputs()[0].shape == ["N", 1, "H", "W"]
    session, module = session_of(target), sodcli.load(weights=small_weights).module
    for shape in ((1, 3, 64, 96), (3, 3, 33, 70)):
        x = torch.randn(shape)
        (logits,) = session.run(None, {"x": x.numpy()})
        with torch.inference_mode():
            assert np.abs(logits - module(x).logits.numpy()).max() < 1e-4
    told = session.get_modelmeta().custom_metadata_map
    assert (told["model"], told["size"], told["clip"]) == ("sdnet", "320x320", "1")
    assert told["mean"] == "0.485 0.456 0.406"
    assert told["weights_license"] == "unknown"
    assert told["license"] == "MIT"


def test_the_built_in_model_is_named_and_says_its_terms(sod, target):
    result = sod("export", "sdnet", "-o", target)
    assert result.stdout == f"{target}\n"
    assert "largest difference" in result.stderr
    told = session_of(target).get_modelmeta().custom_metadata_map
    assert told["size"] == "224x224"
    assert "photos" in told["weights_license"]


def test_half_precision_is_half_the_size_and_nearly_the_same(sod, target, small_weights):
    result = sod("export", small_weights, "-o", target, "--half", "--tol", 0.02, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["bytes"] < 1.7e6
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    assert session_of(target).run(None, {"x": x})[0].dtype == np.float32


@pytest.mark.slow
def test_eight_bits_are_a_third_of_the_size_and_set_by_photos(sod, target, tmp_path):
    for n in range(4):
        Image.fromarray(draw_photo(n, (60, 80))[0]).save(tmp_path / f"{n}.png")
    words = ["export", "sdnet", "-o", target, "--size", 96, "--int8", tmp_path]
    result = sod(*words, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert 0 < report["difference"] < 5 / 255
    assert report["bytes"] == target.stat().st_size < 1.1e6
    session, photo = session_of(target), draw_photo(9, (96, 64))[0]
    mean, std = (
        np.array(session.get_modelmeta().custom_metadata_map[name].split(), np.float32)
        for name in ("mean", "std")
    )
    x = ((photo / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]
    ours = session.run(None, {"x": x})[0]
    with torch.inference_mode():
        theirs = sodcli.load("sdnet").module(torch.from_numpy(x)).logits.numpy()
    assert np.abs(sigmoid(ours) - sigmoid(theirs)).mean() < 10 / 255
    target.unlink()
    refused = sod(*words, "--tol", 1e-6)
    assert (refused.exit_code, target.exists()) == (1, False)


def test_eight_bits_need_pictures(sod, target, tmp_path):
    tmp_path.joinpath("empty").mkdir()
    result = sod("export", "sdnet", "-o", target, "--int8", tmp_path / "empty")
    assert result.exit_code == 1
    assert "no pictures" in result.stderr


def test_a_film_model_is_fixed_to_its_clip(sod, target, tmp_path, registry):
    from safetensors.torch import save_file

    from sodcli.models import build_model

    path = tmp_path / "stdnet.safetensors"
    save_file(build_model(registry.model("stdnet")).state_dict(), path, {"model": "stdnet"})
    result = sod("export", path, "-o", target, "--clip", 3, "--size", 48, "--json")
    assert result.exit_code == 0, result.stderr
    assert session_of(target).get_inputs()[0].shape == [1, 3, 3, 48, 48]
    assert session_of(target).get_outputs()[0].shape == [1, 3, 1, 48, 48]


def test_over_the_tolerance_nothing_is_written(sod, target, small_weights):
    result = sod("export", small_weights, "-o", target, "--tol", 0)
    assert result.exit_code == 1
    assert "more than --tol 0; nothing was written" in result.stderr
    assert not target.exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["sdnet", "-o", "x.pth"], "graphs are written as .onnx"),
        (["sdnet", "-o", "x.onnx", "--clip", "3"], "--clip is for film models"),
        (["sdnet", "-o", "x.onnx", "--half", "--int8", "."], "without --half"),
        (["sdnet", "-m", "minet", "-o", "x.onnx"], "is a model already"),
    ],
)
def test_wrong_usage_is_one_line(sod, words, text):
    result = sod("export", *words)
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


def test_missing_weights_are_missing(sod, target):
    assert sod("export", target.with_suffix(".pth"), "-o", target).exit_code == 4


def test_a_folder_is_no_file(sod, tmp_path):
    folder = tmp_path / "x.onnx"
    folder.mkdir()
    assert sod("export", "sdnet", "-o", folder).exit_code == 2


def test_a_target_that_cannot_be_written(sod, tmp_path):
    (tmp_path / "file").write_text("")
    result = sod("export", "sdnet", "-o", tmp_path / "file" / "x.onnx")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr


def test_networks_without_maps_are_refused(registry):
    order = export_file.ExportSettings("raft-small", export_file.Path("x.onnx"))
    with pytest.raises(UsageError, match="makes no saliency maps"):
        export_file._check(registry.model("raft-small"), order, 64)
    with pytest.raises(UsageError, match="at least 32"):
        export_file._check(registry.model("sdnet"), order, 16)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(graph_file, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="run: pip install onnx"):
        graph_file.require_packages()
