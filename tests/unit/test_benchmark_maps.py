"""The loop of ``sod test``, with a simulated network or machine."""

import numpy as np
import pytest
import torch
from PIL import Image

from sodcli.benchmark.maps import MapRequest, make_maps, plan, share
from sodcli.data.benchmarks import find_sets
from sodcli.data.clips import windows
from sodcli.errors import DeviceError, SinkError, UsageError
from sodcli.process import ProcessGroup
from sodcli.runtime.backends import Backend
from sodcli.runtime.predictor import Predictor
from tests.conftest import rare
from tests.draw_kit import draw_photo


class Certain(Backend):
    """A backend that returns ``probability`` everywhere and has memory for ``room`` pictures."""

    def __init__(self, probability=0.999, room=8):
        self.logit, self.room = np.float32(np.log(probability / (1 - probability))), room

    def run(self, batch):
        if len(batch) > self.room:
            raise DeviceError("cuda: out of memory")
        return np.full((*batch.shape[:-3], 1, *batch.shape[-2:]), self.logit)


@pytest.fixture
def sets(tmp_path):
    for name in ("a", "b", "c", "d", "e"):
        rgb, truth = draw_photo(1, (20, 30))
        for part, pixels in (("images", rgb), ("GT", truth.astype(np.uint8) * 255)):
            (tmp_path / "Toys" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "Toys" / part / f"{name}.png")
    return find_sets(tmp_path, [], {})


def make(sets, registry, out, *, model="sdnet", backend=None, **request):
    backend = backend or Certain()
    predictor = Predictor(registry.model(model), torch.nn.Identity(), backend, size=32)
    return make_maps(
        sets, predictor, MapRequest(out, **request), ProcessGroup(), lambda outcome: None
    )


@pytest.mark.parametrize(
    ("model", "protocol", "level"),
    [("sdnet", "paper", 255), ("minet", "paper", 254), ("minet", "infer", 255)],
)
def test_grey_levels_are_rounded_as_published(sets, registry, tmp_path, model, protocol, level):
    make(sets, registry, tmp_path / "maps", model=model, protocol=protocol)
    with Image.open(tmp_path / "maps" / "Toys" / "a.png") as picture:
        assert picture.getextrema() == (level, level)  # 254.7 of 255


def test_a_batch_is_halved_until_it_fits_in_memory(sets, registry, tmp_path):
    rows = make(sets, registry, tmp_path / "maps", backend=Certain(room=2), batch=5)
    assert sorted(row.status for row in rows) == ["done"] * 5
    with pytest.raises(DeviceError, match="out of memory"):
        make(sets, registry, tmp_path / "none", backend=Certain(room=0))


def test_a_network_for_pseudo_labels_is_refused(sets, registry, tmp_path):
    with pytest.raises(UsageError, match="'fgplg' makes pseudo labels"):
        make(sets, registry, tmp_path / "maps", model="fgplg")


def test_maps_that_cannot_be_written_end_the_run(sets, registry, tmp_path, monkeypatch):
    def full(path):
        if path.suffix == ".png":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sodcli.files.atomic._flush", full)
    with pytest.raises(SinkError, match=r"cannot write .*\.png: No space left on device"):
        make(sets, registry, tmp_path / "maps")
    assert not list(tmp_path.glob("maps/*/*"))


def test_two_maps_with_the_same_file_name_are_refused(sets, tmp_path):
    with pytest.raises(UsageError, match=r"a\.png and .*a\.png would both become .*Toys.a\.png;"):
        plan([*sets, *sets], tmp_path, clips=False)


def test_shares_of_processes_are_disjoint_and_complete(sets, registry, tmp_path):
    groups = plan(sets, tmp_path, clips=False)
    parts = [share(groups, ProcessGroup(rank, 3)) for rank in range(3)]
    tasks = [task for part in parts for group in part for task in group.tasks]
    assert sorted(task.target.stem for task in tasks) == ["a", "b", "c", "d", "e"]
    assert max(len(part[0].tasks) for part in parts) == 2
    assert share(groups, ProcessGroup(5, 6)) == []


class Watching(Backend):
    """A backend that records the frames of each clip; each frame has its own grey level."""

    def __init__(self):
        self.clips = []

    def run(self, batch):
        greys = batch[:, :, 0, 0, 0] * 0.229 + 0.485  # undo the normalisation of red
        self.clips += np.rint(greys * 255).astype(int).tolist()
        return np.zeros((*batch.shape[:2], 1, *batch.shape[-2:]), np.float32)


def draw_grey_film(root, count, every=1):
    """Draw frames of grey levels 0 to ``count - 1``, numbered in steps of ``every``."""
    for at in range(count):
        for part in ("images", "GT"):
            folder = root / "Movie" / "bear" / part
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.full((8, 8, 3), at, np.uint8)
            Image.fromarray(pixels).save(folder / f"{at * every:05}.png")


@pytest.mark.parametrize(
    ("model", "every", "clip"),
    [
        ("stdnet", 2, list(range(0, 16, 2))),  # every second frame with ground truth
        *rare(
            ("stdnet", 1, list(range(0, 32, 4))),  # every fourth frame
            ("stdnet", 15, list(range(8))),
        ),
        ("rcrnet", 1, list(range(4))),
    ],
)
def test_clips_are_cut_as_in_the_papers(registry, tmp_path, model, every, clip):
    draw_grey_film(tmp_path, 32, every)
    backend = Watching()
    make(find_sets(tmp_path, [], {}), registry, tmp_path / "maps", model=model, backend=backend)
    assert backend.clips[0] == clip
    assert sorted({at for clip in backend.clips for at in clip}) == list(range(32))
    assert len(list((tmp_path / "maps" / "Movie" / "bear").iterdir())) == 32


@pytest.mark.parametrize(
    ("model", "count", "clips"),
    [
        ("stdnet", 3, [[0, 1, 2, 1, 0, 1, 2, 1]]),
        ("rcrnet", 3, [[0, 1, 2, 2]]),  # some films of FBMS have as few
        ("rcrnet", 10, [list(clip) for clip in windows(range(10), 4, training=False)]),
    ],
)
def test_the_end_of_a_film_is_filled_as_in_the_papers(registry, tmp_path, model, count, clips):
    draw_grey_film(tmp_path, count)
    backend = Watching()
    make(find_sets(tmp_path, [], {}), registry, tmp_path / "maps", model=model, backend=backend)
    assert [clip for n, clip in enumerate(backend.clips) if clip not in backend.clips[:n]] == clips
    assert len(list((tmp_path / "maps" / "Movie" / "bear").iterdir())) == count
