"""A film of a disc that moves over a texture, with ground truth for some of its frames."""

import cv2
import numpy as np


def draw_film(
    images, masks, *, frames=11, every=1, size_hw=(64, 96), step=3, suffix=".jpg", first=0
):
    """Write ``frames`` frames into ``images`` and every ``every``-th one's mask into ``masks``."""
    for folder in (images, masks):
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    cloth = cv2.GaussianBlur(rng.integers(0, 120, (*size_hw, 3)).astype(np.uint8), (0, 0), 2)
    skin = rng.integers(150, 256, (*size_hw, 3)).astype(np.uint8)
    skin = cv2.GaussianBlur(skin, (0, 0), 2)
    rows, columns = np.indices(size_hw)
    for number in range(frames):
        right = number * step
        disc = (rows - size_hw[0] / 2) ** 2 + (columns - 24 - right) ** 2 < 16**2
        picture = np.where(disc[..., None], np.roll(skin, right, axis=1), cloth)
        name = f"{first + number:05d}"
        assert cv2.imwrite(str(images / f"{name}{suffix}"), picture.astype(np.uint8))
        if number % every == 0:
            assert cv2.imwrite(str(masks / f"{name}.png"), 255 * disc.astype(np.uint8))
