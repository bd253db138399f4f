"""Draw the beach behind the duck in the README.

Run ``python tests/data/draw_beach.py beach.jpg``.
"""

import sys

import cv2
import numpy as np

WIDTH, HEIGHT = 960, 720
SKY, HAZE = (92, 160, 222), (214, 232, 240)
SEA, SHALLOWS = (24, 96, 140), (96, 186, 190)
SAND, WET_SAND = (232, 208, 160), (196, 166, 120)
HORIZON, SHORE = 0.42, 0.66


def slope(top, bottom, rows):
    """Blend two RGB colours over ``rows`` rows."""
    share = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    return np.float32(top) * (1 - share) + np.float32(bottom) * share


def beach():
    """Return the picture, ``(720, 960, 3)`` uint8 RGB."""
    horizon, shore = int(HEIGHT * HORIZON), int(HEIGHT * SHORE)
    bands = [
        slope(SKY, HAZE, horizon),
        slope(SEA, SHALLOWS, shore - horizon),
        slope(WET_SAND, SAND, HEIGHT - shore),
    ]
    picture = np.repeat(np.concatenate(bands), WIDTH, axis=1)
    rng = np.random.default_rng(7)
    waves = cv2.GaussianBlur(
        rng.normal(0, 60, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 14, sigmaY=1
    )
    grain = cv2.GaussianBlur(rng.normal(0, 26, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.2)
    clouds = cv2.GaussianBlur(
        rng.normal(0, 900, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 40, sigmaY=10
    )
    picture[:horizon] += np.clip(clouds[:horizon, :, None], 0, 40)
    picture[horizon:shore] += waves[horizon:shore, :, None]
    picture[shore:] += grain[shore:, :, None]
    foam = np.abs(np.arange(HEIGHT)[:, None] - shore - 6 * np.sin(np.arange(WIDTH) / 70)) < 5
    picture[foam] = 245
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 1.0), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    cv2.imwrite(sys.argv[1], beach()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
