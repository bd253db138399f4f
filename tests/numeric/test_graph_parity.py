"""Every model gives the same maps on every backend, for any batch and size.

Two models are for the long form. MINet on ResNet-50, whose graph of 760 MB takes 36 s of one core,
has the decoder of MINet on VGG16 and the encoder of RCRNet. InSPyReNet on Res2Net50 is in the graph
of pyramid blending, twice.
"""

import numpy as np
import pytest
import torch

from sodcli.imaging.tensors import sigmoid
from sodcli.models import build_model, input_shape
from sodcli.models.pdc import reparameterise
from sodcli.registry import default_registry
from sodcli.runtime.backends.graph_backend import GraphBackend
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.onnx.trace import graph_of
from tests.graph_kit import ENGINES, engine
from tests.torture import LONG

pytestmark = pytest.mark.slow
SPECS = default_registry().models
LONG_ONLY = () if LONG else ("minet", "inspyrenet-res2net50")
MODELS = sorted(
    name for name, spec in SPECS.items() if spec.task == "saliency" and name not in LONG_ONLY
)
FILM_HW, CLIP = (48, 64), 2
SIZES_HW = ((67, 71), (32, 50))
BLENDED_HW = (((72, 104), (64, 64)), ((67, 71), (32, 50)))


class OneGraph:
    """A graph cache with one file."""

    def __init__(self, path):
        self.path = path

    def opened(self, kind, shape, open_graph):
        return open_graph(self.path)


def network(spec):
    """Return the folded network with fresh weights."""
    torch.manual_seed(0)
    return reparameterise(build_model(spec).eval())


@pytest.fixture(scope="module", params=MODELS)
def made(request, tmp_path_factory):
    """A model, its network and its graph, which takes seconds to make."""
    spec = SPECS[request.param]
    module = network(spec)
    film = spec.clip_len > 1
    shape = input_shape(spec, FILM_HW, clip=CLIP) if film else None
    path = tmp_path_factory.mktemp("graph") / "x.onnx"
    path.write_bytes(graph_of(spec, module, shape=shape))
    yield spec, module, path
    path.unlink()


def compare(theirs, ours):
    """Assert that maps agree within 1/255, and logits within float32 rounding."""
    assert theirs.shape == ours.shape
    assert theirs.dtype == np.float32
    assert np.abs(sigmoid(theirs) - sigmoid(ours)).max() <= 1 / 255
    assert np.abs(theirs - ours).max() <= 1e-4 * max(1.0, np.abs(ours).max())


@pytest.mark.parametrize("name", ENGINES)
def test_the_graph_gives_the_maps_of_the_network(made, name):
    spec, module, path = made
    backend = GraphBackend(OneGraph(path), engine(name))
    reference = TorchBackend(module, torch.device("cpu"), half=False)
    rng = np.random.default_rng(0)
    for size_hw in [FILM_HW] if spec.clip_len > 1 else SIZES_HW:
        shape = input_shape(spec, size_hw, batch=2, clip=CLIP)
        x = rng.standard_normal(shape).astype(np.float32)
        compare(backend.run(x), reference.run(x))


@pytest.fixture(scope="module", params=["inspyrenet-res2net50", *(["inspyrenet"] if LONG else [])])
def blended(request, tmp_path_factory):
    """The graph of pyramid blending, in the fast form with the smaller backbone."""
    spec = SPECS[request.param]
    module = network(spec)
    path = tmp_path_factory.mktemp("graph") / "x.onnx"
    path.write_bytes(graph_of(spec, module, "blended"))
    yield module, path
    path.unlink()


@pytest.mark.parametrize("name", ENGINES)
def test_the_blending_graph_gives_the_maps_of_the_network(blended, name):
    module, path = blended
    backend = GraphBackend(OneGraph(path), engine(name))
    reference = TorchBackend(module, torch.device("cpu"), half=False)
    rng = np.random.default_rng(1)
    for sizes_hw in BLENDED_HW:
        large, small = (
            rng.standard_normal((2, 3, *size_hw)).astype(np.float32) for size_hw in sizes_hw
        )
        compare(backend.blend(large, small), reference.blend(large, small))
