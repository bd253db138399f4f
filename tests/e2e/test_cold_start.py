"""Imports of commands: PyTorch only where needed, timm rarely."""

import subprocess
import sys

import pytest
from PIL import Image

from tests.draw_kit import draw_photo
from tests.graph_kit import ENGINES, engine
from tests.scoring_kit import draw_set

pytestmark = pytest.mark.slow
CODE = """
import sys
sys.argv[0] = "sod"
from sodcli.cli.app import app
try:
    app()
except SystemExit as end:
    assert not end.code, end.code
found = {heavy} & set(sys.modules)
assert not found, sorted(found)
"""


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(draw_photo(1)[0]).save(path)
    return path


def run_without(heavy, *words):
    words = [str(word) for word in words]
    code = CODE.replace("{heavy}", repr(heavy))
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("name", ["auto", *ENGINES])
def test_a_photo_needs_no_torch(photo, name):
    engine("onnx" if name == "auto" else name)
    heavy = {"torch", "timm", "torchvision", "safetensors", "onnx"}
    heavy |= {"sodcli.io.films.read", "sodcli.io.films.ffmpeg", "imageio_ffmpeg", "jinja2"}
    heavy |= {"pydantic", "http.client", "sodcli.cli.train"}
    done = run_without(heavy, "infer", photo, "--backend", name)
    assert "torch" not in done.stderr
    assert photo.with_name("photo_rgba.png").is_file()


def test_a_cached_graph_needs_no_torch(photo, small_weights):
    engine("onnx")
    words = ("infer", photo, "-m", "sdnet", "-w", small_weights, "--size", 64, "--overwrite")
    first = run_without(set(), *words, "--backend", "onnx")
    assert "making the graph of sdnet, once" in first.stderr
    again = run_without({"torch", "timm"}, *words)  # auto finds the cached graph
    assert "onnx" in again.stderr or "openvino" in again.stderr
    assert "making" not in again.stderr


@pytest.mark.parametrize("backend", ["torch"])
def test_sdnet_on_torch_needs_neither_timm_nor_torchvision(photo, backend):
    run_without({"timm", "torchvision"}, "infer", photo, "--backend", backend, "--size", 64)


@pytest.mark.parametrize(
    "line",
    [
        "infer {photo} --backend torch",
        "infer {photo} -w {weights} --backend onnx",
        "infer {photo} --device cuda",
        "test --data {folder}/S -m sdnet -o {folder}/maps",
        "speed",
        "train --data {folder}/S -o {folder}/run",
        "reparam sdnet",
        "fetch sdnet-a-duts",
    ],
)
def test_commands_that_need_pytorch_name_it_where_it_is_missing(
    photo, tmp_path, small_weights, line
):
    engine("onnx")
    draw_set(tmp_path / "S", [], 2)
    code = "import sys; sys.modules['torch'] = None; sys.argv[0] = 'sod'\n"
    code += "from sodcli.cli.app import app; app()"
    line = line.format(photo=photo, weights=small_weights, folder=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code, *line.split()], capture_output=True, text=True, timeout=900
    )
    assert done.stderr.splitlines()[-1] == "error: this needs PyTorch; run: pip install torch"
    assert (done.returncode, done.stdout) == (2, "")


HIDDEN = """
import sys
for name in {hidden}:
    sys.modules[name] = None
sys.argv[0] = "sod"
from sodcli.cli.app import app
app()
"""


def run_hidden(hidden, *words):
    return subprocess.run(
        [sys.executable, "-c", HIDDEN.format(hidden=list(hidden)), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.mark.parametrize(
    ("hidden", "engine_"),
    [
        (("onnx",), "onnx"),  # needed to make graphs, not to run them
        (("onnxruntime",), "openvino"),
        (("onnxruntime", "onnx"), "openvino"),
        (("openvino", "onnx"), "onnx"),
        (("torch", "timm", "openvino", "onnx"), "onnx"),
        (("torch", "timm", "onnxruntime", "onnx"), "openvino"),
        (("onnxruntime", "openvino", "onnx"), "torch"),
    ],
)
def test_the_built_in_model_runs_on_the_installed_engines(photo, hidden, engine_):
    if engine_ != "torch":
        engine(engine_)
    done = run_hidden(hidden, "infer", photo)
    assert (done.returncode, done.stdout) == (0, f"{photo.with_name('photo_rgba.png')}\n"), (
        done.stderr
    )
    assert f", {engine_}, " in done.stderr


@pytest.mark.parametrize("hidden", [("onnx",), ("onnxruntime", "onnx"), ("openvino", "onnx")])
def test_other_weights_fall_back_to_pytorch_where_no_graph_can_be_made(
    photo, small_weights, hidden
):
    done = run_hidden(hidden, "infer", photo, "-w", small_weights, "--size", 64)
    assert done.returncode == 0, done.stderr
    assert ", float32, torch, " in done.stderr


def test_a_backend_that_cannot_make_its_graph_names_the_package(photo, small_weights):
    engine("onnx")
    words = ("infer", photo, "-m", "sdnet", "-w", small_weights, "--backend", "onnx")
    done = run_hidden(("onnx",), *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: making the graph of 'sdnet' needs the package onnx; run: pip install onnx, "
        "or use backend torch"
    )


@pytest.mark.parametrize(
    "words",
    [("--help",), ("fetch", "--list"), ("reparam", "sdnet", "-o", "x.safetensors"),
     ("speed", "--runs", "1", "--warmup", "0", "--size", "32")],
)  # fmt: skip
def test_commands_without_pictures_need_no_opencv(tmp_path, words):
    words = [tmp_path / word if word == "x.safetensors" else word for word in words]
    done = run_hidden(("cv2",), *words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("library", ["libGL.so.1", "libxcb.so.1"])  # by OpenCV 4, and by 5
def test_an_opencv_without_system_libraries_names_the_package(photo, tmp_path, library):
    fake = tmp_path / "fake"
    fake.mkdir()
    text = f"{library}: cannot open shared object file: No such file or directory"
    (fake / "cv2.py").write_text(f"raise ImportError({text!r})\n")
    code = f"import sys; sys.path.insert(0, {str(fake)!r})\n" + HIDDEN.format(hidden=[])
    done = subprocess.run(
        [sys.executable, "-c", code, "infer", str(photo)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "apt-get install libgl1" in done.stderr
    assert done.stderr.count("\n") == 1
