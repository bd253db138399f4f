"""Render the example photo: a rubber duck on a table, by sphere tracing.

Run ``python tests/data/render_duck.py photo.jpg`` to make tests/data/photo.jpg again.
"""

import sys

import cv2
import numpy as np

WIDTH, HEIGHT, SAMPLES = 960, 720, 2
LIGHT = np.array([-0.55, 0.75, 0.45], np.float32) / np.linalg.norm([-0.55, 0.75, 0.45])
EYE = np.array([0.35, 1.15, 4.6], np.float32)
FLOOR = -0.62
# Parts: centre, radii, colour. Joined smoothly where they touch.
BODY = ((0.0, -0.1, 0.0), (0.95, 0.55, 0.66), (0.98, 0.78, 0.10))
TAIL = ((0.86, 0.26, 0.0), (0.30, 0.24, 0.26), (0.98, 0.78, 0.10))
HEAD = ((-0.52, 0.72, 0.0), (0.46, 0.44, 0.43), (0.99, 0.80, 0.12))
WING = ((0.18, -0.02, 0.56), (0.48, 0.27, 0.16), (0.96, 0.72, 0.07))
BEAK = ((-1.00, 0.64, 0.0), (0.24, 0.09, 0.20), (0.93, 0.38, 0.05))
EYES = (((-0.80, 0.86, 0.28), (0.075, 0.095, 0.07), (0.04, 0.04, 0.05)),
        ((-0.80, 0.86, -0.28), (0.075, 0.095, 0.07), (0.04, 0.04, 0.05)))  # fmt: skip
PARTS = (BODY, TAIL, HEAD, WING, BEAK, *EYES)


def ellipsoid(points, centre, radii):
    scaled = (points - np.float32(centre)) / np.float32(radii)
    length = np.linalg.norm(scaled, axis=-1)
    slope = np.linalg.norm(scaled / np.float32(radii), axis=-1)
    return length * (length - 1) / np.maximum(slope, 1e-6)


def duck(points):
    """Return the distance to the duck, smoothly joined, and the index of the nearest part."""
    each = np.stack([ellipsoid(points, centre, radii) for centre, radii, _ in PARTS])
    soft = each[:3]
    joined = -np.log(np.exp(-12 * np.clip(soft, -2, 4)).sum(0)) / 12
    return np.minimum(joined, each[3:].min(0)), each.argmin(0)


def march(origin, direction, far, steps=44):
    """Follow ``(N, 3)`` rays until they meet the duck, or to ``far``."""
    travelled = np.zeros(len(direction), np.float32)
    for _ in range(steps):
        points = origin + travelled[:, None] * direction
        travelled = np.minimum(travelled + 0.92 * duck(points)[0], far)
    return travelled


def meets_ball(direction, centre=(-0.1, 0.2, 0.0), radius=1.4):
    """Return which rays from the eye may hit the duck."""
    toward = np.float32(centre) - EYE
    along = direction @ toward
    return toward @ toward - along**2 < radius**2


def normal(points, step=2e-3):
    axes = np.eye(3, dtype=np.float32) * step
    slope = [duck(points + axis)[0] - duck(points - axis)[0] for axis in axes]
    vector = np.stack(slope, -1)
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def rays():
    height, width = HEIGHT * SAMPLES, WIDTH * SAMPLES
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across, up = (x + 0.5 - width / 2) / height, (height / 2 - y - 0.5) / height
    look = np.float32([-0.02, 0.12, 0.0]) - EYE
    look /= np.linalg.norm(look)
    side = np.cross(look, [0, 1, 0])
    side /= np.linalg.norm(side)
    over = np.cross(side, look)
    direction = look + 0.78 * (across[..., None] * side + up[..., None] * over)
    return (direction / np.linalg.norm(direction, axis=-1, keepdims=True)).astype(np.float32)


def noise(shape, scales, seed):
    rng = np.random.default_rng(seed)
    total = np.zeros(shape, np.float32)
    for cells in scales:
        grid = rng.random((max(2, cells[0]), max(2, cells[1])), np.float32) - 0.5
        total += cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC) / len(scales)
    return total


def wood(points):
    """Return planks along x with grain, in linear RGB."""
    u, v = points[..., 0] * 0.8 + 7, points[..., 2] * 0.8 + 7
    field = noise((1024, 1024), [(180, 6), (420, 12), (30, 4)], 5)
    column = (np.clip(u / 16, 0, 0.999) * 1024).astype(int)
    row = (np.clip(v / 16, 0, 0.999) * 1024).astype(int)
    grain = field[row, column]
    plank = 0.9 + 0.1 * np.sin(np.floor(v * 0.9) * 12.9898)
    seam = np.where(np.abs((v * 0.9) % 1 - 0.5) > 0.485, 0.55, 1.0)
    base = np.float32([0.30, 0.19, 0.12])
    return base * ((1 + 1.1 * grain) * plank * seam)[..., None]


def room(direction):
    """Return an out-of-focus wall behind the table, lit by a window on the left."""
    x, y = direction[..., 0], direction[..., 1]
    glow = np.exp(-((x + 0.45) ** 2 / 0.05 + (y - 0.1) ** 2 / 0.06))
    lamp = np.exp(-((x - 0.32) ** 2 + (y - 0.06) ** 2) / 0.012)
    shelf = 0.04 * np.sin(9 * x) * np.exp(-((y - 0.02) ** 2) / 0.02)
    wall = np.float32([0.17, 0.22, 0.27]) * (1 + 0.8 * y)[..., None]
    warm = np.float32([0.35, 0.26, 0.17]) * lamp[..., None] * 0.5
    return wall + np.float32([0.30, 0.33, 0.36]) * glow[..., None] * 0.6 + warm + shelf[..., None]


def shaded(points, direction, near):
    facing = normal(points)
    colour = np.float32([part[2] for part in PARTS])[near] ** 2.2
    lit = np.clip(facing @ LIGHT, 0, 1)
    reach = march(points + facing * 0.02, np.broadcast_to(LIGHT, points.shape), 4.0, steps=24)
    lit *= np.clip((reach - 3.0), 0.15, 1)
    sky = 0.5 + 0.5 * facing[..., 1]
    bounce = np.clip(-facing[..., 1], 0, 1)[..., None] * np.float32([0.10, 0.06, 0.04])
    middle = LIGHT - direction
    middle /= np.linalg.norm(middle, axis=-1, keepdims=True)
    gloss = np.clip((facing * middle).sum(-1), 0, 1) ** 60
    rim = (1 - np.clip(-(facing * direction).sum(-1), 0, 1)) ** 4
    return (
        colour * (1.15 * lit + 0.33 * sky)[..., None]
        + bounce
        + (0.55 * gloss + 0.06 * rim)[..., None]
    )


def floor_shade(points):
    toward = np.broadcast_to(LIGHT, points.shape)
    near = np.ones(points.shape[:-1], np.float32)
    travelled = np.full(points.shape[:-1], 0.02, np.float32)
    for _ in range(30):
        gap = duck(points + travelled[..., None] * toward)[0]
        near = np.minimum(near, np.clip(9 * gap / travelled, 0, 1))
        travelled += np.clip(gap, 0.03, 0.3)
    contact = np.clip(duck(points)[0] / 0.5, 0, 1) ** 0.6
    return (0.25 + 0.75 * near) * (0.45 + 0.55 * contact)


def render():
    direction = rays()
    far = np.float32(14.0)
    near = meets_ball(direction)
    travelled = np.full(near.shape, far)
    travelled[near] = march(EYE, direction[near], far)
    down = np.where(direction[..., 1] < -1e-4, (FLOOR - EYE[1]) / direction[..., 1], far)
    picture = room(direction)
    ground = down < np.minimum(travelled, far)
    points = EYE + down[..., None] * direction
    shade = np.ones(ground.shape, np.float32)
    close = ground & (np.abs(points[..., 0]) < 3.5) & (np.abs(points[..., 2]) < 3.5)
    shade[close] = floor_shade(points[close])
    haze = np.clip((down - 5.5) / 6.5, 0, 1)[..., None]
    table = wood(points) * shade[..., None] * 1.35
    picture = np.where(ground[..., None], table * (1 - haze) + picture * haze, picture)
    soft = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 14 * SAMPLES)
    blur = np.clip((np.where(ground, down, far) - 5.2) / 3.5, 0, 1)[..., None]
    picture = picture * (1 - blur) + soft * blur
    hit = (travelled < far - 0.5) & (travelled < down)
    on = EYE + travelled[hit][:, None] * direction[hit]
    layer = np.zeros((*hit.shape, 4), np.float32)
    layer[hit, :3], layer[hit, 3] = shaded(on, direction[hit], duck(on)[1]), 1
    small = (WIDTH, HEIGHT)
    layer = cv2.resize(layer, small, interpolation=cv2.INTER_AREA)
    picture = cv2.resize(picture.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    return layer[..., :3] + picture * (1 - layer[..., 3:])


def developed(linear):
    """Apply tone curve, vignette and grain of a camera; return 8-bit RGB."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    linear = linear * (1 - 0.22 * (x**2 + y**2))[..., None] * 1.25
    toned = (linear * (2.2 * linear + 0.03)) / (linear * (2.0 * linear + 0.59) + 0.14)
    grain = np.random.default_rng(1).normal(0, 0.012, toned.shape)
    return np.rint(np.clip(toned**0.8 + grain, 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    rgb = developed(render())
    cv2.imwrite(sys.argv[1], rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
