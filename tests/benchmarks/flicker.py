"""How much a film's maps change from frame to frame outside the subject, and how wrong they are.

Run ``python -m tests.benchmarks.flicker [MODEL...] [--films FOLDER]``; FOLDER holds films as
``NAME/images`` and ``NAME/GT``. One film is always rendered: a disc that crosses a still scene,
with the noise of a camera. Prints for each film, of the maps as the network gives them and as the
filter for films steadies them: the mean absolute change between neighbouring frames where neither
has the subject, in thousandths of the full range, and the mean absolute error. The last line of a
model is the mean over the films of FOLDER.
"""

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from sodcli.frame import Frame
from sodcli.io.pictures.read import read_picture
from sodcli.registry import DEFAULT_MODEL
from sodcli.runtime.predictor import load
from sodcli.runtime.steady import steadied
from sodcli.runtime.stream import saliency_stream
from tests.draw_kit import draw_photo


def rendered(count=40, size_hw=(180, 320)):
    """Return frames and truths of a bright disc that crosses a still scene with fresh noise."""
    rng = np.random.default_rng(0)
    scene, still = draw_photo(3, size_hw)  # a disc that stays where it is
    rows, columns = np.indices(size_hw)
    frames, truths = [], []
    for index in range(count):
        disc = (rows - 90) ** 2 + (columns - 40 - index * 6) ** 2 < 24**2
        picture = np.where(disc[..., None], (230, 60, 40), scene)
        noisy = np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
        frames.append(Frame(noisy, index, "rendered"))
        truths.append(disc | still)
    return frames, truths


def from_folder(folder):
    paths = sorted((folder / "images").iterdir())
    frames = [replace(read_picture(path), index=index) for index, path in enumerate(paths)]
    truths = [cv2.imread(str(folder / "GT" / f"{path.stem}.png"), 0) > 128 for path in paths]
    return frames, truths


def scores(maps, truths):
    """Return the change outside the subject in thousandths a frame, and the MAE."""
    changes = [
        np.abs(after - before)[~(gt | next_gt)].mean()
        for (before, after), (gt, next_gt) in zip(pairwise(maps), pairwise(truths), strict=True)
    ]
    errors = [np.abs(one - truth).mean() for one, truth in zip(maps, truths, strict=True)]
    return 1000 * np.mean(changes), np.mean(errors)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=[DEFAULT_MODEL])
    parser.add_argument("--films", type=Path)
    wanted = parser.parse_args()
    films = {"rendered": rendered}
    if wanted.films:
        folders = sorted(path for path in wanted.films.iterdir() if path.is_dir())
        films |= {path.name: lambda path=path: from_folder(path) for path in folders}
    print(f"{'model':12} {'film':16} {'change':>8} {'steady':>8} {'MAE':>8} {'steady':>8}")
    for name in wanted.models:
        predictor, rows = load(name), []
        for film, source in films.items():
            frames, truths = source()
            plain = list(saliency_stream(predictor, iter(frames), batch=1))
            steady = list(steadied(iter(plain)))
            each = [scores([frame.saliency for frame in one], truths) for one in (plain, steady)]
            rows.append([each[0][0], each[1][0], each[0][1], each[1][1]])
            show(name, film, rows[-1])
        if len(rows) > 1:
            show(name, "mean", np.mean(rows[1:], axis=0))


def show(model, film, row):
    print(
        f"{model:12} {film:16} {row[0]:8.2f} {row[1]:8.2f} {row[2]:8.4f} {row[3]:8.4f}", flush=True
    )


if __name__ == "__main__":
    main()
