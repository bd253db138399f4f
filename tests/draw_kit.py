"""Drawn photos, for tests and their child processes, which import no PyTorch with this file."""

import numpy as np


def draw_photo(seed=0, size_hw=(90, 120)):
    """Draw a bright disc on a dark slope; returns the RGB picture and its ground truth."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size_hw)
    radius = min(size_hw) / 4
    centre = rng.uniform(radius, np.array(size_hw) - radius)
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    slope = (40 + 60 * columns / size_hw[1])[..., None] * rng.uniform(0.7, 1.0, 3)
    rgb = np.where(disc[..., None], rng.integers(150, 256, 3), slope)
    grain = rng.normal(0, 4, rgb.shape)
    return np.clip(rgb + grain, 0, 255).astype(np.uint8), disc
