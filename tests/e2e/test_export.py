"""``sod export``: files for other programs, or an error of one line."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import sodcli
from sodcli.errors import UsageError
from sodcli.imaging.tensors import sigmoid
from sodcli.models import build_model, input_shape
from sodcli.models.pdc import reparameterise
from sodcli.registry import default_registry
from sodcli.runtime.onnx import export as export_file
from sodcli.runtime.onnx import graph_file
from sodcli.runtime.onnx.trace import graph_of
from tests.conftest import DATA
from tests.draw_kit import draw_photo
from tests.graph_kit import ENGINES, engine

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
pytest.importorskip("onnx", reason="the extra [onnx] is not installed")


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "net.onnx"


def test_an_image_model_accepts_any_batch_and_size(sod, target, small_weights):
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


def test_the_built_in_model_has_its_name_and_terms_in_the_metadata(sod, target):
    result = sod("export", "sdnet", "-o", target)
    assert result.stdout == f"{target}\n"
    assert "largest difference" in result.stderr
    told = session_of(target).get_modelmeta().custom_metadata_map
    assert told["size"] == "224x224"
    assert "photos" in told["weights_license"]


def test_half_precision_halves_the_size_and_hardly_changes_maps(sod, target, small_weights):
    result = sod("export", small_weights, "-o", target, "--half", "--tol", 0.02, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["bytes"] < 1.7e6
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    assert session_of(target).run(None, {"x": x})[0].dtype == np.float32


@pytest.mark.slow
def test_int8_needs_a_third_of_the_size(sod, target, tmp_path):
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


def test_int8_needs_calibration_pictures(sod, target, tmp_path):
    tmp_path.joinpath("empty").mkdir()
    result = sod("export", "sdnet", "-o", target, "--int8", tmp_path / "empty")
    assert result.exit_code == 1
    assert "no pictures" in result.stderr


def test_a_film_model_is_fixed_to_its_clip(sod, target, tmp_path, registry):
    path = tmp_path / "stdnet.safetensors"
    save_file(build_model(registry.model("stdnet")).state_dict(), path, {"model": "stdnet"})
    result = sod("export", path, "-o", target, "--clip", 3, "--size", 48, "--json")
    assert result.exit_code == 0, result.stderr
    assert session_of(target).get_inputs()[0].shape == [1, 3, 3, 48, 48]
    assert session_of(target).get_outputs()[0].shape == [1, 3, 1, 48, 48]


def test_above_the_tolerance_nothing_is_written(sod, target, small_weights):
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
        (["sdnet", "-o", "x.onnx", "--batch", "2"], "it needs --static"),
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


def test_a_folder_as_target_is_refused(sod, tmp_path):
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
    with pytest.raises(UsageError, match="--uint8 is for models of pictures"):
        export_file._check(registry.model("stdnet"), replace(order, uint8=True), 64)
    with pytest.raises(UsageError, match="at least 32"):
        export_file._check(registry.model("sdnet"), order, 16)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(graph_file, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="run: pip install onnx"):
        graph_file.require_packages()


@pytest.fixture(scope="module")
def export(tmp_path_factory, _small_weights):
    """Return a function that exports the generated SDNet, once for each set of options."""
    made = {}

    def make(**options):
        key = tuple(sorted(options.items()))
        if key not in made:
            path = tmp_path_factory.mktemp("graph") / "net.onnx"
            settings = export_file.ExportSettings(str(_small_weights), path, size=64, **options)
            export_file.export_file(settings, default_registry())
            made[key] = path
        return made[key]

    return make


PHOTOS = [draw_photo(n, (60, 80))[0] for n in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"normalised": True}, {"static": True, "batch": 3, "normalised": True}], ids=str
)
@pytest.mark.parametrize("backend", ENGINES)
def test_an_exported_file_gives_the_maps_of_its_weights(export, options, backend, small_weights):
    backend, path = engine(backend).name, export(**options)
    ours = sodcli.load(weights=small_weights, backend="torch", device="cpu", size=64)
    theirs = sodcli.load(weights=path, backend=backend)
    assert (theirs.spec.name, theirs.size_hw, theirs.weights) == ("sdnet", (64, 64), path)
    expected = list(ours.many(PHOTOS, batch=4))
    assert max(one.max() for one in expected) > 0.1
    for predictor in (theirs, pickle.loads(pickle.dumps(theirs))):
        for one, other in zip(expected, predictor.many(PHOTOS, batch=4), strict=True):
            assert np.abs(one - other).max() <= 1 / 255


@pytest.mark.slow
def test_a_film_model_loads_and_takes_shorter_clips(sod, target, tmp_path, registry):
    from sodcli.frame import Frame
    from sodcli.runtime.stream import saliency_stream

    path = tmp_path / "stdnet.safetensors"
    torch.manual_seed(0)
    save_file(build_model(registry.model("stdnet")).state_dict(), path, {"model": "stdnet"})
    result = sod("export", path, "-o", target, "--clip", 3, "--size", 48)
    assert result.exit_code == 0, result.stderr
    predictor = sodcli.load(weights=target)
    assert predictor(PHOTOS[0]).shape == (60, 80)
    frames = [Frame(photo, n, "") for n, photo in enumerate(PHOTOS)]
    ours = sodcli.load(weights=path, size=48, backend="torch", device="cpu")
    ours.spec = predictor.spec  # clips of three frames
    for one, other in zip(
        saliency_stream(ours, frames), saliency_stream(predictor, frames), strict=True
    ):
        assert np.abs(one.saliency - other.saliency).max() <= 1 / 255


def test_infer_and_test_accept_an_exported_file(sod, export, tmp_path):
    path, photo = export(normalised=True), tmp_path / "set" / "images" / "a.png"
    for folder in ("images", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        Image.fromarray(PHOTOS[0]).save(tmp_path / "set" / folder / "a.png")
    result = sod("infer", photo, "-w", path, "-t", "map", "-o", tmp_path / "map.png")
    assert result.exit_code == 0, result.stderr
    assert ", onnx, model sdnet" in result.stderr or ", openvino, model sdnet" in result.stderr
    result = sod("test", "--data", tmp_path / "set", "-w", path, "-o", tmp_path / "maps")
    assert result.exit_code == 0, result.stderr
    assert list((tmp_path / "maps").rglob("a.png"))


def test_an_exported_graph_can_map_uint8_to_uint8(sod, export, small_weights):
    path = export(uint8=True)
    session = session_of(path)
    assert (session.get_inputs()[0].type, session.get_inputs()[0].shape) == (
        "tensor(uint8)",
        ["N", "H", "W", 3],
    )
    (saliency,) = session.run(None, {"x": np.stack(PHOTOS[:2])})
    assert (saliency.dtype, saliency.shape) == (np.uint8, (2, 60, 80))
    predictor = sodcli.load(weights=small_weights, backend="torch", device="cpu")
    predictor.size_hw = (60, 80)
    for photo, one in zip(PHOTOS, saliency, strict=False):
        assert np.abs(predictor(photo) * 255 - one).max() <= 1
    result = sod("infer", DATA / "photo.jpg", "-w", path, "-o", path.with_suffix(".png"))
    assert result.exit_code != 0
    assert "takes and gives bytes, but sod needs logits; export it without --uint8" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite", "sdnet-a", "stdnet", "rcrnet-image", "minet-vgg16"])
def test_a_static_graph_computes_nothing_from_shapes(registry, target, name):
    import onnx

    spec = registry.model(name)
    torch.manual_seed(0)
    module = reparameterise(build_model(spec).eval())
    shape = input_shape(spec, (96, 96), batch=2, clip=2)
    data = graph_file.fold_constants(graph_of(spec, module, shape=shape))
    graph = onnx.load_from_string(data)
    onnx.checker.check_model(graph)
    assert not {node.op_type for node in graph.graph.node} & {"Shape", "Cast", "If", "Loop"}
    assert {node.domain for node in graph.graph.node} == {""}
    # ONNX Runtime leaves its blocked layout for these two; the first Pad is that of the picture.
    pads = sum(node.op_type == "Pad" for node in graph.graph.node)
    sizes = sum(node.op_type == "Resize" and len(node.input) > 3 for node in graph.graph.node)
    assert name != "lite" or (pads, sizes) == (1, 0)
    x = torch.randn(shape)
    with torch.inference_mode():
        ours = sigmoid(module(x).logits.numpy())
    target.parent.mkdir()
    target.write_bytes(data)
    for engine_ in ENGINES:
        theirs = sigmoid(engine(engine_).open_graph(target, 1)([x.numpy()]))
        assert np.abs(theirs - ours).max() <= 1 / 255


@pytest.mark.slow
@pytest.mark.parametrize(("name", "engine_"), [("lite", "AUTO"), ("sdnet", "CLASSIC")])
def test_opencv_reads_a_static_graph(tmp_path, registry, name, engine_):
    import cv2

    target = tmp_path / "net.onnx"
    settings = export_file.ExportSettings(name, target, size=96, static=True, normalised=True)
    export_file.export_file(settings, registry)
    several = hasattr(cv2.dnn, "ENGINE_AUTO")  # OpenCV 4 has one engine
    chosen = {"engine": getattr(cv2.dnn, f"ENGINE_{engine_}")} if several else {}
    network = cv2.dnn.readNetFromONNX(str(target), **chosen)
    x = draw_photo(2, (96, 96))[0].transpose(2, 0, 1)[None] / np.float32(255)
    network.setInput(x)
    ours = sigmoid(session_of(target).run(None, {"x": x})[0])
    edge = 0 if several or name == "sdnet" else 4  # OpenCV 4.13 gives other values there
    inside = slice(edge, 96 - edge)
    assert np.abs(sigmoid(network.forward()) - ours)[..., inside, inside].max() <= 1 / 255


def foreign(path):
    torch.onnx.export(
        torch.nn.Conv2d(3, 1, 3), (torch.zeros(1, 3, 8, 8),), path, dynamo=False, verbose=False
    )


def with_nan(path):
    import onnx

    graph = onnx.load(path)
    tensor = next(one for one in graph.graph.initializer if len(one.dims) == 4)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[3] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(graph, path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (foreign, "not written by sod export: its metadata names no known model"),
        (lambda path: path.write_text("no graph"), "not an ONNX file"),
        (lambda path: path.write_bytes(b""), "not an ONNX file"),
        (lambda path: path.write_bytes(path.read_bytes()[:90_000]), "not an ONNX file, or damaged"),
        (with_nan, "holds values that are not finite"),
    ],
    ids=["foreign", "text", "empty", "cut", "nan"],
)
@pytest.mark.parametrize("backend", ENGINES)
def test_unusable_onnx_files_are_errors_of_one_line(sod, export, tmp_path, damage, text, backend):
    path = tmp_path / "x.onnx"
    path.write_bytes(export(normalised=True).read_bytes())
    damage(path)
    photo = tmp_path / "photo.png"
    Image.fromarray(PHOTOS[0]).save(photo)
    result = sod("infer", photo, "-w", path, "--backend", engine(backend).name, "-q")
    assert result.exit_code == 1
    assert f"error: {path}: " in result.stderr
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "photo_rgba.png").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--backend", "torch"], "an ONNX graph runs on the CPU, by backend onnx or openvino"),
        (["--size", "96"], "is fixed to 64x64 pixels"),
        (["-m", "lite"], "a graph of 'sdnet', not of 'lite'; add -m sdnet"),
    ],
)
def test_options_that_a_graph_does_not_support_are_refused(sod, export, words, text):
    path = export(static=True)
    result = sod("infer", DATA / "photo.jpg", "-w", path, "-o", path.with_suffix(".png"), *words)
    assert result.exit_code in (1, 2)
    assert text in result.stderr


def test_other_commands_refuse_a_graph(sod, export, tmp_path):
    result = sod("reparam", export(static=True), "-o", tmp_path / "x.safetensors")
    assert result.exit_code == 1
    assert "an ONNX graph; sod infer and sod test run it" in result.stderr
