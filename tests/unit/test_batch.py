"""``CutOut`` for data engines: in batches, and in processes that may be killed."""

import io
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image

import sodcli
from sodcli import batch
from sodcli.batch import CutOut
from sodcli.errors import DeviceError, MissingError, UsageError
from tests.draw_kit import draw_photo

PHOTOS = [draw_photo(seed, (40 + seed, 60))[0] for seed in range(6)]


def encoded(rgb, form="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, form)
    return buffer.getvalue()


def opened(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def test_a_bad_photo_in_a_batch_has_an_error_and_the_others_results():
    photos = np.array([encoded(PHOTOS[n % 6]) for n in range(64)], object)
    photos[20] = photos[20][:60]
    result = CutOut(size=64, batch=4, backend="onnx")({"bytes": photos, "id": np.arange(64)})
    assert list(result["id"]) == list(range(64))
    assert [row for row, error in enumerate(result["error"]) if error] == [20]
    assert result["error"][20].startswith("image: ")
    assert "\n" not in result["error"][20]
    assert result["cut_out"][20] == b""
    predictor = sodcli.load(size=64, backend="onnx", threads=1)
    for row in (0, 19, 21, 63):
        cut_out = predictor.cut_out(PHOTOS[row % 6])
        assert np.abs(opened(result["cut_out"][row]).astype(int) - cut_out).max() <= 1


def test_paths_urls_and_arrays_are_accepted(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(PHOTOS[1]))
    photos = [str(path), path.as_uri(), PHOTOS[1], encoded(PHOTOS[1]), "file:///none.png", "none"]
    made = CutOut(column="photo", type="map", format=None, size=64, backend="onnx")
    result = made({"photo": photos})
    for pixels in result["cut_out"][:4]:
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, result["cut_out"][0])
    assert result["cut_out"][0].shape == PHOTOS[1].shape[:2]
    assert [bool(error) for error in result["error"]] == [False] * 4 + [True] * 2
    assert result["error"][4].startswith("file:///none.png: ")
    assert result["error"][5] == "none: no such file"
    assert result["cut_out"][5].size == 0


def test_a_batch_that_fails_is_repeated_photo_by_photo(monkeypatch):
    class Small:
        """A network with memory for one photo of any height but 45."""

        def predict(self, frames):
            if len(frames) > 1 or frames[0].size_hw[0] == 45:
                raise DeviceError("cpu: out of memory\nfor so much")
            return [frames[0].with_saliency(np.ones(frames[0].size_hw, np.float32))]

    monkeypatch.setattr(batch, "_predictor", lambda *settings: Small())
    result = CutOut(type="map", format=None, batch=4)({"bytes": [*PHOTOS, 3]})
    assert list(result["error"][:5]) == [""] * 5
    assert result["error"][5] == "cpu: out of memory for so much"
    assert result["error"][6].startswith("image: need a path, bytes")
    assert all((pixels == 255).all() for pixels in result["cut_out"][:5])


def test_a_url_without_its_package_is_an_error_of_its_row(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    result = CutOut(size=64, backend="onnx")({"bytes": ["s3://bucket/a.jpg", encoded(PHOTOS[0])]})
    assert "URLs need the package fsspec; pip install fsspec" in result["error"][0]
    assert result["error"][1] == ""


def test_wrong_settings_are_refused_before_the_first_row():
    with pytest.raises(UsageError, match="Did you mean 'overlay'"):
        CutOut(type="overlai")
    with pytest.raises(UsageError, match="cannot write transparency"):
        CutOut(format="jpg")
    with pytest.raises(UsageError, match="no picture format"):
        CutOut(format="docx")
    with pytest.raises(UsageError, match="batch must be at least 1, not 0"):
        CutOut(batch=0)
    with pytest.raises(UsageError, match="threshold must be from 0 to 1, not 50"):
        CutOut(threshold=50)
    with pytest.raises(UsageError, match="no column 'photo'; there are: bytes"):
        CutOut(column="photo")({"bytes": []})
    with pytest.raises(MissingError, match=r"none\.pth"):
        CutOut(weights="none.pth")({"bytes": [encoded(PHOTOS[0])]})


@pytest.mark.slow
def test_batches_run_in_a_process_pool():
    cut_out = CutOut(type="white", format="jpg", size=64, backend="onnx")
    assert len(pickle.dumps(cut_out)) < 1000
    batches = [{"bytes": [encoded(photo)]} for photo in PHOTOS[:4]]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(cut_out, batches))
    for photo, result in zip(PHOTOS, results, strict=False):
        assert list(result["error"]) == [""]
        assert opened(result["cut_out"][0]).shape == photo.shape


RAY = """
import os, signal, sys
from pathlib import Path
import ray
from sodcli.batch import CutOut

folder = Path(sys.argv[1])

class Dies(CutOut):
    '''Dies once, at the batch with photo 5.'''

    def __call__(self, batch):
        done = folder / "dead"
        if any("05.png" in path for path in batch["path"]) and not done.exists():
            done.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)

# two for the workers, one that reads
ray.init(num_cpus=3, include_dashboard=False, logging_level="error")
photos = ray.data.read_binary_files(str(folder), include_paths=True, file_extensions=["png"])
settings = {"size": 64, "backend": "onnx"}
cut = photos.repartition(6).map_batches(
    Dies, fn_constructor_kwargs=settings, batch_size=2, compute=ray.data.ActorPoolStrategy(size=2)
)
rows = cut.take_all()
names = sorted(Path(row["path"]).name for row in rows)
assert names == [f"{n:02}.png" for n in range(12)], names
assert (folder / "dead").exists()
bad = [Path(row["path"]).name for row in rows if row["error"]]
assert bad == ["07.png"], bad
assert all(row["cut_out"].startswith(b"\\x89PNG") for row in rows if not row["error"])
print("whole")
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra [ray] is not installed")
def test_a_ray_worker_that_is_killed_loses_nothing(tmp_path):
    for n in range(12):
        (tmp_path / f"{n:02}.png").write_bytes(encoded(PHOTOS[n % 6])[: None if n != 7 else 50])
    # Ray's workers have low priority, and are restarted if they do not start within a minute.
    patient = {"RAY_worker_niceness": "0", "RAY_worker_register_timeout_seconds": "300"}
    done = subprocess.run(
        [sys.executable, "-c", RAY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **patient},
    )
    assert (done.returncode, "whole" in done.stdout) == (0, True), done.stderr[-3000:]
