"""Modules that must start fast import little. import-linter checks the layers."""

import subprocess
import sys

import pytest

from tests.conftest import rare


@pytest.mark.parametrize("module", ["sodcli.cli.app", *rare("sodcli", "sodcli.registry")])
def test_light_modules_stay_light(module):
    heavy = "{'torch', 'cv2', 'timm', 'numpy', 'PIL', 'safetensors'}"
    code = f"import sys, {module}; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_sdnet_needs_neither_timm_nor_torchvision():
    code = (
        "import sys; from sodcli.models import build_model; "
        "from sodcli.registry import default_registry; "
        "build_model(default_registry().model('sdnet-a')); "
        "found = {'timm', 'torchvision'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
