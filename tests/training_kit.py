"""Drawn pictures and settings for training runs of seconds."""

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from sodcli.registry import default_registry
from sodcli.training.config import resolve
from sodcli.training.report import Reporter
from sodcli.training.run_folder import RunFolder
from sodcli.training.setup import Options
from sodcli.training.trainer import train

QUICK = "scales = [1.0]\nsample_every = 0\nholdout = 0.25\n"  # settings on top of a recipe


def draw_pairs(root, count=8, side=48, seed=0):
    """Draw bright ellipses on dark noise, with their masks, as ``images`` and ``masks``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for number in range(count):
        cy, cx = rng.uniform(side * 0.3, side * 0.7, 2)
        ry, rx = rng.uniform(side * 0.15, side * 0.3, 2)
        mask = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        photo = rng.integers(0, 90, (side, side, 3)) + 150 * mask[..., None]
        Image.fromarray(photo.astype(np.uint8)).save(root / "images" / f"{number}.png")
        Image.fromarray((mask * 255).astype(np.uint8)).save(root / "masks" / f"{number}.png")
    return root


def settings(folder, **changes):
    """Return the config of two epochs of three steps of SDNet at 32 px, and ``changes``."""
    table = {
        "model": "sdnet",
        "data": [str(folder)],
        "epochs": 2,
        "batch": 2,
        "size": 32,
        "scales": [1.0],
        "holdout": 0.25,
        "sample_every": 0,
    }
    return resolve(default_registry(), {**table, **changes})


class Listener(Reporter):
    """A reporter that records every call; can act at a step."""

    def __init__(self, at_step=None):
        self.plan, self.steps, self.rows, self.notes, self.skipped = None, [], [], [], []
        self._at_step = at_step

    def on_start(self, plan):
        self.plan = plan

    def on_step(self, report):
        self.steps.append(report)
        if self._at_step is not None:
            self._at_step(report.step)

    def on_skip(self, names):
        self.skipped += names

    def on_epoch(self, row):
        self.rows.append(row)

    def on_note(self, text):
        self.notes.append(text)


def run(config, root, reporter=None, *, resume=False, save_every=300.0):
    """Train on one thread of the CPU; return the run folder."""
    folder = RunFolder(root)
    options = Options(device=torch.device("cpu"), save_every=save_every)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(config, folder, default_registry(), options, reporter or Listener(), resume=resume)
    finally:
        torch.set_num_threads(threads)
    return folder


def same_weights(a, b):
    """Return True if two files contain bitwise the same tensors."""
    left, right = load_file(a), load_file(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)
