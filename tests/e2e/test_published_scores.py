"""The authors' weights reach their scores, and ours those of the model card."""

import numpy as np
import pytest

import sodcli
from tests.scoring import NAMES, score
from tests.torture import LONG

pytestmark = pytest.mark.slow

MEASURES = {"s", "f", "wf", "mae"}
EVERY = 1 if LONG else 3  # of the 297 development images
# S-measure, max F, adaptive F, weighted F, MAE of pysodmetrics 1.6.2, on all and every third
PUBLISHED = {
    "sdnet_from_scratch": {
        1: (0.8958, 0.9067, 0.8571, 0.8428, 0.0524),
        3: (0.8936, 0.8987, 0.8505, 0.8321, 0.0496),
    },
    "sdneta_from_pretrained": {
        1: (0.9153, 0.9299, 0.8828, 0.8791, 0.0388),
        3: (0.9148, 0.9301, 0.8781, 0.8743, 0.0407),
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_score_as_published(shared_data, name):
    path = shared_data / "upstream" / f"{name}.pth"
    predictor = sodcli.load(weights=path, device="cpu", backend="openvino")
    assert len(list((shared_data / "ECSSD-dev" / "images").iterdir())) == 297
    found = score(predictor, shared_data / "ECSSD-dev" / "images", MEASURES, EVERY)
    scores = [found[key] for key in NAMES[:5]]
    np.testing.assert_allclose(scores, PUBLISHED[name][EVERY], atol=0.002)


# At least S-measure, max F, weighted F, at most MAE: 0.002 less than what the README says
BUILT_IN = {
    "lite": {1: (0.912, 0.925, 0.888, 0.043), 3: (0.91, 0.92, 0.884, 0.045)},
    "sdnet": {1: (0.842, 0.838, 0.78, 0.079), 3: (0.834, 0.818, 0.763, 0.077)},
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_weights_keep_their_scores(shared_data, name):
    predictor = sodcli.load(name, device="cpu")
    found = score(predictor, shared_data / "ECSSD-dev" / "images", MEASURES, EVERY)
    s, max_f, weighted_f, mae = BUILT_IN[name][EVERY]
    assert found["S"] >= s
    assert found["maxF"] >= max_f
    assert found["wF"] >= weighted_f
    assert found["MAE"] <= mae
