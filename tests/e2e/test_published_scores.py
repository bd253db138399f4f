"""The authors' own weights reach, through our code, the scores measured with theirs."""

import cv2
import numpy as np
import pytest

import sodcli
from sodcli.imaging.tensors import to_input, to_saliency
from sodcli.metrics.measure import measure
from sodcli.metrics.summary import summarise

pytestmark = pytest.mark.slow

# S-measure, max F, adaptive F, weighted F, MAE of pysodmetrics 1.6.2 on the 297 development images
PUBLISHED = {
    "sdnet_from_scratch": (0.8958, 0.9067, 0.8571, 0.8428, 0.0524),
    "sdneta_from_pretrained": (0.9153, 0.9299, 0.8828, 0.8791, 0.0388),
}
NAMES = ("S", "maxF", "adpF", "wF", "MAE")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_score_as_published(shared_data, name):
    predictor = sodcli.load(weights=shared_data / "upstream" / f"{name}.pth", device="cpu")
    photos = sorted((shared_data / "ECSSD-dev" / "images").iterdir())
    assert len(photos) == 297
    found = summarise(_scores(predictor, photos)).as_dict()
    ours = [found[key] for key in NAMES]
    np.testing.assert_allclose(ours, PUBLISHED[name], atol=0.002)


def _scores(predictor, photos):
    """Measure in the published protocol: squashed to the input size, no anti-aliasing."""
    spec = predictor.spec
    for photo in photos:
        rgb = cv2.imread(str(photo))[..., ::-1]
        truth = cv2.imread(str(photo.parents[1] / "GT" / f"{photo.stem}.png"), 0)
        batch = to_input(rgb, spec.input_hw, spec.mean, spec.std)[None]
        saliency = to_saliency(predictor.backend.run(batch)[0, 0], truth.shape)
        yield measure(np.rint(saliency * 255).astype(np.uint8), truth)
