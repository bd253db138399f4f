"""Films of every length give all frames in order, without seams; cameras without latency."""

import itertools

import numpy as np
import pytest
import torch

from sodcli.errors import DeviceError
from sodcli.frame import Frame
from sodcli.imaging.tensors import to_saliency
from sodcli.models import build_model
from sodcli.models.pdc import reparameterise
from sodcli.runtime.backends import Backend
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.predictor import Predictor
from sodcli.runtime.stream import live_predictor, saliency_stream
from sodcli.weights.layouts import layout
from tests.conftest import manifest, rare, rule_weights

LENGTHS = [1, 9, *rare(3, 8, 20)]
SIZE = 32


class Plain(Backend):
    """A backend that can only run the whole network, as graph engines do."""

    def __init__(self, module):
        self._inner = TorchBackend(module, torch.device("cpu"), half=False)
        self.shapes = []

    def run(self, batch):
        self.shapes.append(batch.shape)
        return self._inner.run(batch)


class Ramp(Backend):
    """A clip model that returns the position in the clip: it jumps most between clips."""

    def __init__(self):
        self.batches = []

    def run(self, batch):
        self.batches.append(len(batch))
        ramp = np.linspace(-4, 4, batch.shape[1], dtype=np.float32)[None, :, None, None, None]
        return np.broadcast_to(ramp, (*batch.shape[:2], 1, SIZE, SIZE)).copy()


class SmallCard(TorchBackend):
    """A backend with memory for ``room`` clips of eight frames, or as many frames."""

    def __init__(self, module, room):
        super().__init__(module, torch.device("cpu"), half=False)
        self.room, self.largest = room, 0

    def features(self, batch):
        self._take(len(batch))
        return super().features(batch)

    def decode(self, seen, frames, size_hw, newest):
        self._take(len(seen))
        return super().decode(seen, frames, size_hw, newest)

    def _take(self, frames):
        if frames > 8 * self.room:
            raise DeviceError("cuda: out of memory")
        self.largest = max(self.largest, frames)


@pytest.fixture(scope="module")
def networks(registry):
    """STDNet and STDNet-A, trained form and folded, with weights that make frames differ."""
    made = {}
    for name, stored in (("stdnet", "stdnet"), ("stdnet-a", "stdneta")):
        entries = manifest(f"stdnet/manifest_{stored}.json")["training"]
        module = build_model(registry.model(name)).eval()
        module.load_state_dict(layout("stdnet").to_ours(rule_weights(entries)).state)
        made[name] = {"trained": module, "folded": reparameterise(module)}
    return made


@pytest.fixture
def predictor(networks, registry):
    def make(name="stdnet", form="folded", backend=None):
        module = networks[name][form]
        backend = backend or TorchBackend(module, torch.device("cpu"), half=False)
        return Predictor(registry.model(name), module, backend, size=SIZE)

    return make


def film(count, size_hw=(24, 30), seed=0):
    """Return frames of drifting noise, so that every frame has a different map."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (size_hw[0], size_hw[1] + count, 3), np.uint8)
    return [
        Frame(np.ascontiguousarray(wide[:, at : at + size_hw[1]]), at, f"frame{at}")
        for at in range(count)
    ]


def maps(frames):
    return np.stack([frame.saliency for frame in frames])


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("count", LENGTHS)
def test_every_frame_comes_back_once_in_order_whatever_the_batch(predictor, count, paper):
    frames = film(count)
    answers = []
    for batch in (1, 3):
        out = list(saliency_stream(predictor(), iter(frames), batch=batch, paper=paper))
        assert [frame.index for frame in out] == list(range(count))
        assert all(frame.rgb is given.rgb for frame, given in zip(out, frames, strict=True))
        answers.append(maps(out))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
    assert count == 1 or np.ptp(answers[0], axis=0).max() > 0.01


def test_no_frames_give_no_maps(predictor):
    assert list(saliency_stream(predictor(), [], batch=2)) == []


@pytest.mark.parametrize("name", ["stdnet", *rare("stdnet-a")])
@pytest.mark.parametrize("form", ["folded", *rare("trained")])
def test_live_equals_running_the_whole_clip(predictor, name, form):
    prepared = predictor(name, form)
    live = live_predictor(prepared)
    frames = film(10)
    for place, frame in enumerate(frames):
        answer = live(frame).saliency
        # The clip is one frame, then grows, then has dropped its first frames.
        if place not in (0, 3, 9):
            continue
        clip = [prepared.prepare(one) for one in frames[max(0, place - 7) : place + 1]]
        whole = prepared.backend.run(np.stack(clip)[None])[0, -1, 0]
        np.testing.assert_allclose(answer, to_saliency(whole, frame.size_hw), atol=1e-5)


@pytest.mark.slow
def test_the_newest_frames_alone_have_the_same_numbers(networks):
    module = networks["stdnet"]["folded"]
    x = torch.randn(2, 8, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = module.features(x.flatten(0, 1))
        logits = module(x).logits
        for newest in (1, 3, 8):
            part = module.decode(features, 8, (40, 50), newest)
            torch.testing.assert_close(part, logits[:, -newest:], atol=1e-4, rtol=1e-5)


def test_live_computes_each_frame_once(predictor, networks):
    backend = SmallCard(networks["stdnet"]["folded"], room=1)
    seen = []
    backend.features = lambda batch: (
        seen.append(len(batch)) or TorchBackend.features(backend, batch)
    )
    live = live_predictor(predictor(backend=backend))
    for frame in film(10):
        live(frame)
    assert seen == [1] * 10


def test_live_starts_again_when_the_size_changes(predictor):
    live = live_predictor(predictor())
    for frame in film(5):
        live(frame)
    wider = film(1, (24, 40), seed=3)[0]
    fresh = live_predictor(predictor())(wider)
    np.testing.assert_array_equal(live(wider).saliency, fresh.saliency)


def test_a_still_picture_is_processed_as_a_clip_of_equal_frames(predictor):
    prepared = predictor()
    frame = film(1)[0]
    clip = np.stack([prepared.prepare(frame)] * 8)[None]
    whole = to_saliency(prepared.backend.run(clip)[0, 4, 0], frame.size_hw)
    np.testing.assert_allclose(prepared.predict([frame])[0].saliency, whole, atol=1e-5)


def test_overlapping_clips_are_blended(predictor):
    """``Ramp`` jumps by its full range at each border; blending reduces the jumps."""
    frames = film(64)
    seams = {}
    for paper in (False, True):
        out = maps(saliency_stream(predictor(backend=Ramp()), iter(frames), batch=1, paper=paper))
        seams[paper] = np.abs(np.diff(out[8:-8, 0, 0])).max()
    assert seams[True] > 0.2
    assert seams[False] < 0.25 * seams[True]


@pytest.mark.parametrize("room", [1, *rare(2)])
def test_clips_are_halved_until_they_fit(predictor, networks, room):
    backend = SmallCard(networks["stdnet"]["folded"], room)
    frames = film(18)
    out = list(saliency_stream(predictor(backend=backend), iter(frames), batch=4))
    plain = list(saliency_stream(predictor(), iter(frames), batch=1))
    np.testing.assert_allclose(maps(out), maps(plain), atol=1e-5)
    assert backend.largest == 8 * room


def test_too_little_memory_for_one_clip_is_an_error(predictor, networks):
    with pytest.raises(DeviceError, match="out of memory"):
        list(
            saliency_stream(predictor(backend=SmallCard(networks["stdnet"]["folded"], 0)), film(9))
        )


@pytest.mark.parametrize("count", [5, *rare(11)])
def test_a_backend_without_splitting_gives_the_same_maps(predictor, networks, count):
    frames = film(count)
    backend = Plain(networks["stdnet"]["folded"])
    whole = predictor(backend=backend)
    out = maps(saliency_stream(whole, iter(frames), batch=2))
    np.testing.assert_allclose(out, maps(saliency_stream(predictor(), frames, batch=2)), atol=1e-5)
    assert {shape[1] for shape in backend.shapes} == {8}
    live, parted = live_predictor(whole), live_predictor(predictor())
    for frame in frames:
        np.testing.assert_allclose(live(frame).saliency, parted(frame).saliency, atol=1e-5)


def test_a_change_of_size_starts_a_new_clip(predictor):
    first, second = film(5), film(11, (20, 44), seed=1)
    out = list(saliency_stream(predictor(), [*first, *second], batch=2))
    alone = [*saliency_stream(predictor(), first), *saliency_stream(predictor(), second)]
    assert [frame.size_hw for frame in out] == [(24, 30)] * 5 + [(20, 44)] * 11
    for frame, expected in zip(out, alone, strict=True):
        np.testing.assert_allclose(frame.saliency, expected.saliency, atol=1e-5)


@pytest.mark.parametrize("paper", [False, *rare(True)])
def test_the_film_is_read_lazily(predictor, paper):
    """An endless film gives maps while at most a few clips are read."""
    read = []

    def endless():
        for number in itertools.count():
            read.append(number)
            yield Frame(np.full((24, 30, 3), number % 256, np.uint8), number, "")

    ahead = []
    for frame in itertools.islice(
        saliency_stream(predictor(), endless(), batch=2, paper=paper), 50
    ):
        ahead.append(len(read) - frame.index)
    assert max(ahead) <= (65 if paper else 24)


def test_image_models_answer_in_batches(registry):
    class Bright(Backend):
        def __init__(self):
            self.batches = []

        def run(self, batch):
            if len(batch) > 2:
                raise DeviceError("cuda: out of memory")
            self.batches.append(len(batch))
            return batch[:, :1] * 4

    backend = Bright()
    predictor = Predictor(registry.model("sdnet"), torch.nn.Identity(), backend, size=SIZE)
    frames = film(7)
    out = list(saliency_stream(predictor, iter(frames), batch=3))
    assert [frame.index for frame in out] == list(range(7))
    assert backend.batches == [1, 2, 1, 2, 1]
    live = live_predictor(predictor)
    np.testing.assert_array_equal(live(frames[3]).saliency, out[3].saliency)
