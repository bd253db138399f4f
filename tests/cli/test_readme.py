"""Every command of the README runs, in order; names in CONTRIBUTING exist."""

import re
import shlex
import shutil
import tomllib
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

import sodcli
from sodcli.cli.app import app
from sodcli.models import build_model
from sodcli.registry import default_registry
from sodcli.weights.save import save_weights
from tests.draw_kit import draw_photo
from tests.film_kit import render

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for line in re.findall(r"^\$ (.+)$", README, re.MULTILINE) if line[:4] == "sod "]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the files that the README names."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("photo.jpg", "beach.jpg", "shop/mug.jpg", "shop/hats/cap.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_photo(len(name))[0]).save(folder / name)
    render(folder / "clip.mp4", rate="10", sound=True)
    _draw_pairs(folder / "pairs", range(30))
    _draw_pairs(folder / "sets/birds", range(4))
    _draw_pairs(folder / "films/dog", [5] * 11)
    shutil.copytree(folder / "sets/birds/masks", folder / "other/birds")
    net = build_model(default_registry().model("sdnet"))
    save_weights(folder / "sdnet.safetensors", net.state_dict(), {"model": "sdnet"})
    return folder


def _draw_pairs(folder, seeds):
    for index, seed in enumerate(seeds):
        rgb, disc = draw_photo(seed)
        for kind, pixels in (("images", rgb), ("masks", disc * np.uint8(255))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / kind / f"{index:05d}.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", [line for line in COMMANDS if line != "sod ui"]
)  # does not end by itself
def test_a_command_of_the_readme_runs(sod, desk, monkeypatch, line):
    monkeypatch.chdir(desk)
    result = sod(*shlex.split(line)[1:])
    assert result.exit_code == 0, result.stderr
    assert result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("code", re.findall(r"^```python\n(.+?)^```", README, re.M | re.S))
def test_python_of_the_readme_runs(sod, desk, monkeypatch, code):
    monkeypatch.chdir(desk)
    if "onnxruntime" in code:
        pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
        assert sod("export", "sdnet", "--uint8", "-o", "sdnet.onnx").exit_code == 0
    found = {}
    exec(code, found)  # the README's own code
    assert found["saliency"].shape == np.asarray(Image.open("photo.jpg")).shape[:2]
    assert 0 <= found["saliency"].min() < found["saliency"].max() <= 255


def test_the_readme_names_every_command():
    assert {line.split()[1] for line in COMMANDS} == get_command(app).commands.keys()


def test_pictures_of_the_readme_exist():
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert shown
    assert all((Path(__file__).parents[2] / path).is_file() for path in shown)


def test_the_small_installation_leaves_out_pytorch_and_what_needs_it():
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    needed = tomllib.loads(project)["project"]["dependencies"]
    needed = {re.match(r"[\w-]+", one)[0] for one in needed} - {"torch", "timm", "onnx"}
    (given,) = re.findall(r"^pip install --no-deps \. && pip install (.+)$", README, re.MULTILINE)
    assert set(given.split()) == needed


def test_what_contributing_names_exists():
    text = (Path(__file__).parents[2] / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
    packages = "|".join(path.stem for path in (Path(sodcli.__file__).parent).iterdir())
    names = set(re.findall(rf"`((?:{packages})(?:\.\w+)+)`", text)) - {"models.toml"}
    assert len(names) > 40
    for name in names:
        resolve_name(f"sodcli.{name}")
