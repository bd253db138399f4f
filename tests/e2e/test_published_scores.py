"""The authors' weights reach their scores, and ours those of the model card."""

import numpy as np
import pytest

import sodcli
from tests.scoring import NAMES, score
from tests.torture import LONG

pytestmark = pytest.mark.slow

MEASURES = {"s", "f", "wf", "mae"}
EVERY = 1 if LONG else 6  # of the 297 development images
# S-measure, max F, adaptive F, weighted F, MAE of pysodmetrics 1.6.2, on all and every sixth
PUBLISHED = {
    "sdnet_from_scratch": {
        1: (0.8958, 0.9067, 0.8571, 0.8428, 0.0524),
        6: (0.902, 0.9039, 0.8599, 0.8419, 0.0471),
    },
    "sdneta_from_pretrained": {
        1: (0.9153, 0.9299, 0.8828, 0.8791, 0.0388),
        6: (0.9212, 0.9379, 0.8836, 0.8804, 0.0367),
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
    "lite": {1: (0.912, 0.925, 0.888, 0.043), 6: (0.906, 0.916, 0.872, 0.043)},
    "sdnet": {1: (0.842, 0.838, 0.78, 0.079), 6: (0.85, 0.826, 0.773, 0.073)},
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
