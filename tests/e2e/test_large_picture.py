"""InSPyReNet processes a picture of 24 megapixels in two passes with bounded memory."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import manifest, rule_weights
from tests.draw_kit import draw_photo
from tests.torture import LONG

GIB = 2**30
# Runs the command and prints the peak memory of its process in bytes.
WATCH = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak * (1 if sys.platform == "darwin" else 1024), file=sys.stderr)
sys.exit(code)
"""


# Peak memory in GiB by the short side of the second pass; the default takes minutes of one core.
BOUND = {"1280": 6} if LONG else {"448": 3}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
@pytest.mark.parametrize(("side", "most"), BOUND.items())
def test_24_megapixels_need_bounded_memory(tmp_path, side, most):
    entries = manifest("inspyrenet/manifest_swinb.json")
    weights = rule_weights([entry for entry in entries if entry[3] == "rule"])
    for n in range(3):  # scaled down as in the goldens: sums over all pixels would overflow
        for what in ("key", "value"):
            weights[f"attention{n}.conv_{what}.0.bn.running_var"] *= float((384 >> n) ** 4)
    torch.save(weights, tmp_path / "random.pth")
    photo = Image.fromarray(draw_photo(0, (400, 600))[0])
    photo.resize((6000, 4000)).save(tmp_path / "photo.jpg")
    words = ["-m", "sodcli", "infer", "photo.jpg", "-t", "map", "-o", "map.png"]
    words += ["-m", "inspyrenet", "-w", "random.pth", "--threads", "1", "--size", side]
    done = subprocess.run(
        [sys.executable, "-c", WATCH, sys.executable, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    (tmp_path / "random.pth").unlink()
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-1]) < most * GIB
    found = np.asarray(Image.open(tmp_path / "map.png"))
    assert found.shape == (4000, 6000)
    assert found.std() > 1
