"""Fit the constants of ``imaging.matte.certainty`` on photos with true masks.

Run ``python -m tests.benchmarks.certainty FOLDER... [--test FOLDER] [--count 200]``, each folder
with photos in ``images`` and masks of the same stems in ``masks`` or ``GT``. Prints the constants
for ``imaging/matte.py``, and for the test folder how often a photo that is among the worst third
by intersection over union is among the least certain half.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from sodcli.imaging.matte import certainty, map_statistics
from sodcli.runtime.predictor import load


def overlap(saliency, mask):
    found = saliency >= 0.5
    return (found & mask).sum() / max((found | mask).sum(), 1)


def judged(predictor, folder, count):
    """Return features, certainty by the current constants, and true overlap of each photo."""
    masks = next(folder / name for name in ("masks", "GT") if (folder / name).is_dir())
    photos = sorted((folder / "images").iterdir())
    rows = []
    for photo in photos[:: max(1, len(photos) // count)][:count]:
        mask = cv2.imread(str(masks / f"{photo.stem}.png"), cv2.IMREAD_GRAYSCALE)
        saliency = predictor(photo)
        if mask is not None and mask.shape == saliency.shape:
            rows.append(
                (map_statistics(saliency), certainty(saliency), overlap(saliency, mask > 128))
            )
    return [np.array(column) for column in zip(*rows, strict=True)]


def worst_found(sure, true):
    """Return the share of the worst third by ``true`` among the lower half by ``sure``."""
    worst = set(np.argsort(true)[: len(true) // 3])
    return len(worst & set(np.argsort(sure)[: len(true) // 2])) / len(worst)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--test", type=Path)
    parser.add_argument("--count", type=int, default=200)
    wanted = parser.parse_args()
    predictor = load()
    parts = [judged(predictor, folder, wanted.count) for folder in wanted.folders]
    found, _, true = (np.concatenate(column) for column in zip(*parts, strict=True))
    design = np.column_stack([np.ones(len(found)), found])
    offset, *weights = np.linalg.lstsq(design, true, rcond=None)[0]
    print(f"_OFFSET: Final = {offset:.3f}")
    print(f"_WEIGHTS: Final = ({', '.join(f'{weight:.3f}' for weight in weights)})")
    for name, folder in (("test", wanted.test),) if wanted.test else ():
        found, sure, true = judged(predictor, folder, wanted.count)
        fitted = offset + found @ np.array(weights)
        for label, values in (("new", fitted), ("today's", sure)):
            print(f"{name}, {label}: correlation {np.corrcoef(values, true)[0, 1]:.2f},"
                  f" worst third in the lower half {worst_found(values, true):.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
