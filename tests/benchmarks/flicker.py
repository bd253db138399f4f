"""How much a film's maps change from frame to frame where the film itself stands still.

Run ``python -m tests.benchmarks.flicker [MODEL...] [--films FOLDER]``; FOLDER holds films as
folders of frames (``NAME/images`` or ``NAME``). One film is always rendered: a disc that crosses a
still scene, with the noise of a camera. Prints, for each film, the mean absolute change of the maps
between neighbouring frames inside still regions, in grey levels of 255: as they are, and stretched
to the full range frame by frame, which other tools do and this program must not. A pixel is still
if its blurred brightness changes by less than 2 levels, and so does that of all within 8 px.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from sodcli.frame import Frame
from sodcli.io.pictures.read import read_picture
from sodcli.io.search import media_in
from sodcli.runtime.predictor import load
from sodcli.runtime.stream import saliency_stream
from tests.conftest import draw_photo

STILL_LEVELS, REACH_PX, MOST_FRAMES = 2, 8, 60


def rendered(count=40, size_hw=(180, 320)):
    """A bright disc crosses a still scene; every frame has its own noise."""
    rng = np.random.default_rng(0)
    scene, _ = draw_photo(3, size_hw)
    rows, columns = np.indices(size_hw)
    for index in range(count):
        centre = 40 + index * 6
        disc = (rows - 90) ** 2 + (columns - centre) ** 2 < 24**2
        picture = np.where(disc[..., None], (230, 60, 40), scene)
        noisy = np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
        yield Frame(noisy, index, "rendered")


def from_folder(folder):
    inner = folder / "images"
    for path in media_in(inner if inner.is_dir() else folder, recursive=False)[:MOST_FRAMES]:
        yield read_picture(path)


def still(before, after):
    """Mark what stands still between two frames; ``(H, W)`` bool."""
    grey = [cv2.GaussianBlur(cv2.cvtColor(f.rgb, cv2.COLOR_RGB2GRAY), (0, 0), 2)
            for f in (before, after)]  # fmt: skip
    moving = (cv2.absdiff(*grey) >= STILL_LEVELS).astype(np.uint8)
    return cv2.dilate(moving, np.ones((2 * REACH_PX + 1,) * 2, np.uint8)) == 0


def stretched(saliency):
    low, high = saliency.min(), saliency.max()
    return (saliency - low) / max(high - low, 1e-8)


def changes(frames):
    """Return the mean change in still regions, plain and stretched, and their share of the film."""
    plain, wide, shares = [], [], []
    for before, after in pairwise(frames):
        mask = still(before, after)
        shares.append(mask.mean())
        if mask.any():
            a, b = before.saliency, after.saliency
            plain.append(np.abs(a - b)[mask].mean())
            wide.append(np.abs(stretched(a) - stretched(b))[mask].mean())
    if not plain:
        return float("nan"), float("nan"), 0.0
    return 255 * np.mean(plain), 255 * np.mean(wide), np.mean(shares)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=["sdnet"])
    parser.add_argument("--films", type=Path)
    wanted = parser.parse_args()
    films = {"rendered": rendered}
    if wanted.films:
        folders = sorted(path for path in wanted.films.iterdir() if path.is_dir())
        films |= {path.name: lambda path=path: from_folder(path) for path in folders}
    print(f"{'model':12} {'film':16} {'still':>6} {'change':>8} {'stretched':>10}")
    for name in wanted.models:
        predictor = load(name)
        for film, source in films.items():
            frames = list(saliency_stream(predictor, source(), batch=1))
            plain, wide, share = changes(frames)
            print(f"{name:12} {film:16} {share:6.1%} {plain:8.3f} {wide:10.3f}", flush=True)


if __name__ == "__main__":
    main()
