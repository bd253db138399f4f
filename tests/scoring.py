"""Score weights on the 297 development images, in the published protocol.

Run ``python -m tests.scoring WEIGHTS [SIDE ...]``: a file or a name of models.toml, and sides of
the square that the network sees, by default the weights' own.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

import sodcli
from sodcli.benchmark.paper_protocol import PublishedPredictor
from sodcli.frame import Frame
from sodcli.metrics.measure import USUAL, measure
from sodcli.metrics.scores import summarise
from tests.conftest import SHARED

NAMES = ("S", "maxF", "adpF", "wF", "MAE", "mBA")


def score(predictor, images, which=USUAL, every=1):
    """Return the scores on every n-th photo of a folder ``images`` beside a folder ``GT``."""
    photos = sorted(Path(images).iterdir())[::every]
    assert photos
    return summarise(_one(predictor, photo, which) for photo in photos).as_dict()


def _one(predictor, photo, which):
    """Score the map of a photo, rounded to 8 bits; the input is bilinear without antialiasing."""
    rgb = np.ascontiguousarray(cv2.imread(str(photo))[..., ::-1])
    truth = cv2.imread(str(photo.parents[1] / "GT" / f"{photo.stem}.png"), 0)
    (frame,) = PublishedPredictor(predictor).predict([Frame(rgb, 0, photo.name)])
    return measure(np.rint(frame.saliency * 255).astype(np.uint8), truth, which=which)


if __name__ == "__main__":
    sides = [int(side) for side in sys.argv[2:]] or [None]
    for side in sides:
        predictor = sodcli.load(weights=sys.argv[1], size=side)
        found = score(predictor, SHARED / "data" / "ECSSD-dev" / "images")
        figures = "  ".join(f"{name} {found[name]:.4f}" for name in NAMES)
        print(f"{sys.argv[1]} at {predictor.size_hw[0]}: {figures}", flush=True)
