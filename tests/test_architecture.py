"""Imports point down, and nothing reaches for the habits of research code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sodcli

ROOT = Path(sodcli.__file__).parent
LAYERS = {
    "cli": 8,
    "pipelines": 7,
    "training": 7,
    "models": 6,
    "data": 6,
    "metrics": 6,
    "io": 6,
    "imaging": 5,
    "weights": 4,
    "registry": 3,
    "frame": 2,
    "files": 1,
    "environment": 1,
    "errors": 0,
}
SOURCES = sorted(ROOT.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    here = path.relative_to(ROOT).parts[0].removesuffix(".py")
    rooms = [name.split(".")[1] for name in imports(path) if name.startswith("sodcli.")]
    wrong = [
        there
        for there in rooms
        if here in LAYERS and there != here and LAYERS[there] >= LAYERS[here]
    ]
    assert not wrong


def test_every_room_has_its_place():
    rooms = {p.name for p in ROOT.iterdir() if p.is_dir() and p.name != "__pycache__"}
    rooms |= {p.stem for p in ROOT.glob("*.py")} - {"__init__", "__main__"}
    assert rooms == LAYERS.keys()


@pytest.mark.parametrize("module", ["sodcli", "sodcli.cli.app", "sodcli.registry"])
def test_light_modules_stay_light(module):
    heavy = "{'torch', 'cv2', 'timm', 'numpy', 'PIL', 'safetensors'}"
    code = f"import sys, {module}; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sdnet_needs_neither_timm_nor_torchvision():
    code = (
        "import sys; from sodcli.models import build_model; "
        "from sodcli.registry import default_registry; "
        "build_model(default_registry().model('sdnet-a')); "
        "found = {'timm', 'torchvision'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
