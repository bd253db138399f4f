"""One predictor in several threads, in forked processes, and pickled."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import sodcli
from tests.draw_kit import draw_photo
from tests.graph_kit import ENGINES, engine

BACKENDS = ("torch", *ENGINES)
PHOTOS = [draw_photo(seed, size_hw)[0] for seed, size_hw in ((1, (60, 80)), (2, (90, 50)))]
THREADS = """
import subprocess, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import sodcli
from tests.draw_kit import draw_photo

PHOTOS = [draw_photo(1, (60, 80))[0], draw_photo(2, (90, 50))[0]]
predictor = sodcli.load(backend=sys.argv[1], device="cpu", size=64)
expected = [predictor(photo) for photo in PHOTOS]

def ask(number):
    return [np.abs(predictor(PHOTOS[n % 2]) - expected[n % 2]).max() for n in range(number, 8)]

with ThreadPoolExecutor(8) as pool:
    worst = [max(found) for found in pool.map(ask, [0, 1] * 4)]
assert len(worst) == 8 and max(worst) < 1e-4, worst
for _ in range(5):
    subprocess.run([sys.executable, "-c", ""], check=True)
print("same")
"""
FORK = """
import multiprocessing, sys
import sodcli
from tests.draw_kit import draw_photo

def answer(number):
    assert len(list(predictor.many(PHOTOS))) == 2
    return float(predictor(PHOTOS[number]).sum())

PHOTOS = [draw_photo(1, (60, 80))[0], draw_photo(2, (90, 50))[0]]
predictor = sodcli.load(backend=sys.argv[1], device="cpu", size=64, threads=2)
for _ in range(2):  # at the second fork this process has computed maps
    with multiprocessing.get_context("fork").Pool(2) as pool:
        forked = pool.map_async(answer, [0, 1]).get(60)
        again = pool.map_async(answer, [1, 0]).get(60)
    own = [answer(0), answer(1)]
    found = forked + again[::-1]
    assert max(abs(a - b) for a, b in zip(found, own * 2)) < 0.01, (found, own)
print("same")
"""


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param if request.param == "torch" else engine(request.param).name


@pytest.mark.slow
def test_each_thread_gets_the_map_of_its_own_picture(backend):
    """In a separate process that then starts another program, as films do."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS, backend], capture_output=True, text=True, timeout=900
    )
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


@pytest.mark.slow
def test_a_pickled_predictor_gives_the_same_maps(backend):
    predictor = sodcli.load(backend=backend, device="cpu", size=64)
    expected = predictor(PHOTOS[0])
    copy = pickle.loads(pickle.dumps(predictor))
    assert np.abs(copy(PHOTOS[0]) - expected).max() < 1e-5
    assert (copy.spec, copy.size_hw, copy.backend.where) == (
        predictor.spec,
        predictor.size_hw,
        predictor.backend.where,
    )


@pytest.mark.slow
def test_a_pickled_predictor_keeps_its_threads(backend, tmp_path):
    """Where it is loaded in a process of its own, which would use more."""
    predictor = sodcli.load(backend=backend, device="cpu", size=64, threads=1)
    (tmp_path / "predictor").write_bytes(pickle.dumps(predictor))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).backend.where)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "predictor")],
        env={**os.environ, "OMP_NUM_THREADS": "3"}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.stdout == f"{predictor.backend.where}\n", done.stderr
    assert "(1 thread)" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_forked_process_computes_maps(backend):
    """As in servers that load before they fork, with and without a picture computed before."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, backend], capture_output=True, text=True, timeout=900
    )
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr
