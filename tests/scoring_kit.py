"""Drawn sets of ground truth and maps for tests of scoring."""

import cv2
import numpy as np


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def draw_truth(seed, size_hw=(40, 56)):
    """Draw a white ellipse on black at a random place."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(size_hw, np.uint8)
    centre = [int(rng.uniform(0.35, 0.65) * side) for side in size_hw[::-1]]
    cv2.ellipse(truth, centre, (12, 8), float(rng.uniform(0, 180)), 0, 360, 255, -1)
    return truth


def draw_map(truth, seed, noise=40):
    """Draw a soft and noisy map of ``truth``, like a network's."""
    rng = np.random.default_rng(1000 + seed)
    soft = cv2.GaussianBlur(truth, (0, 0), 2).astype(np.float64)
    return np.clip(soft + rng.normal(0, noise, truth.shape), 0, 255).astype(np.uint8)


def draw_set(root, maps=None, count=6, photos=True, first=0, grow=1):
    """Write ``images`` and ``GT`` under ``root`` and, for each folder of ``maps``, its maps."""
    for number in range(count):
        truth, name = draw_truth(first + number, (40, 56 + grow * number)), f"{number:04}.png"
        save(root / "GT" / name, truth)
        if photos:
            save(root / "images" / f"{number:04}.jpg", np.dstack([truth // 2 + 60] * 3))
        for at, folder in enumerate(maps or ()):
            save(folder / name, draw_map(truth, number, 30 + 40 * at))
    return root


def draw_films(root, maps, frames, first=0):
    """Write ``root/CLIP/images`` and ``GT``, and ``maps/CLIP``; ``frames`` counts for each clip."""
    for at, (clip, count) in enumerate(frames.items()):
        draw_set(root / clip, [maps / clip], count, first=first + 100 * at, grow=0)
    return root
