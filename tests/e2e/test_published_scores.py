"""The authors' weights reach their scores, and ours those of the model card."""

import numpy as np
import pytest

import sodcli
from tests.scoring import NAMES, score

pytestmark = pytest.mark.slow

MEASURES = {"s", "f", "wf", "mae"}
# S-measure, max F, adaptive F, weighted F, MAE of pysodmetrics 1.6.2 on the 297 development images
PUBLISHED = {
    "sdnet_from_scratch": (0.8958, 0.9067, 0.8571, 0.8428, 0.0524),
    "sdneta_from_pretrained": (0.9153, 0.9299, 0.8828, 0.8791, 0.0388),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_score_as_published(shared_data, name):
    path = shared_data / "upstream" / f"{name}.pth"
    predictor = sodcli.load(weights=path, device="cpu", backend="openvino")
    assert len(list((shared_data / "ECSSD-dev" / "images").iterdir())) == 297
    found = score(predictor, shared_data / "ECSSD-dev" / "images", MEASURES)
    np.testing.assert_allclose([found[key] for key in NAMES[:5]], PUBLISHED[name], atol=0.002)


# At least S-measure, max F, weighted F, at most MAE: what the README says, less 0.002
BUILT_IN = {"lite": (0.907, 0.918, 0.884, 0.046), "sdnet": (0.842, 0.838, 0.78, 0.079)}


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_weights_keep_their_scores(shared_data, name):
    predictor = sodcli.load(name, device="cpu")
    found = score(predictor, shared_data / "ECSSD-dev" / "images", MEASURES)
    s, max_f, weighted_f, mae = BUILT_IN[name]
    assert found["S"] >= s
    assert found["maxF"] >= max_f
    assert found["wF"] >= weighted_f
    assert found["MAE"] <= mae
