"""Cut-outs from file to file against the PyPI package rembg, both on ONNX Runtime.

Run ``python -m tests.benchmarks.cutouts_against_rembg PYTHON``: the interpreter of an environment
with ``rembg[cpu]``. It gets a network of the size and shape of u2netp (X. Qin et al., U^2-Net,
Pattern Recognition 2020, the small one) with random weights: its maps are useless, its time is
real. Two things are timed, in turn: the whole process for one photo, and further photos in a
running process. Ours is the built-in model with ``--backend onnx``.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

from tests.benchmarks.kit import draw_photos, record

ROUNDS, PHOTOS, SIDE = 5, 20, 320

THEIRS = """
import sys
from pathlib import Path
from PIL import Image
from rembg import new_session, remove
session = new_session("u2netp", providers=["CPUExecutionProvider"])
for photo in sorted(Path(sys.argv[1]).iterdir()):
    remove(Image.open(photo), session=session).save(Path(sys.argv[2], f"{photo.stem}.png"))
"""


def conv(c_in, c_out, dilation=1):
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=dilation, dilation=dilation),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
    )


class UBlock(nn.Module):
    """A small U-Net in a residual block; ``flat`` ones use dilation instead of pooling."""

    def __init__(self, depth, c_in, c_out, *, flat=False, middle=16):
        super().__init__()
        self.flat, self.first = flat, conv(c_in, c_out)
        wide = [2**n if flat else 1 for n in range(depth - 1)]
        self.down = nn.ModuleList(
            conv(middle if n else c_out, middle, dilation) for n, dilation in enumerate(wide)
        )
        self.bottom = conv(middle, middle, 8 if flat else 2)
        self.up = nn.ModuleList(
            conv(2 * middle, middle if n else c_out, dilation) for n, dilation in enumerate(wide)
        )

    def forward(self, x):
        first = x = self.first(x)
        seen = []
        for n, block in enumerate(self.down):
            x = block(x if n == 0 or self.flat else max_pool2d(x, 2, ceil_mode=True))
            seen.append(x)
        x = self.bottom(x)
        for block in reversed(self.up):
            skip = seen.pop()
            x = block(torch.cat((resized(x, skip), skip), 1))
        return x + first


class SmallU2Net(nn.Module):
    """Six blocks down, five up, a side output of each level, and their fusion."""

    def __init__(self):
        super().__init__()
        shape = [(7, False), (6, False), (5, False), (4, False), (4, True), (4, True)]
        self.down = nn.ModuleList(
            UBlock(depth, 64 if n else 3, 64, flat=flat) for n, (depth, flat) in enumerate(shape)
        )
        self.up = nn.ModuleList(UBlock(depth, 128, 64, flat=flat) for depth, flat in shape[:-1])
        self.side = nn.ModuleList(nn.Conv2d(64, 1, 3, padding=1) for _ in shape)
        self.fuse = nn.Conv2d(len(shape), 1, 1)

    def forward(self, x):
        size = x
        seen = []
        for n, block in enumerate(self.down):
            x = block(max_pool2d(x, 2, ceil_mode=True) if n else x)
            seen.append(x)
        answers = [x]
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat((resized(x, seen[level]), seen[level]), 1))
            answers.insert(0, x)
        sides = [resized(side(y), size) for side, y in zip(self.side, answers, strict=True)]
        return tuple(y.sigmoid() for y in (self.fuse(torch.cat(sides, 1)), *sides))


def resized(x, like):
    return interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def put_network(folder):
    torch.manual_seed(0)
    net = SmallU2Net().eval()
    print(f"their network: {sum(p.numel() for p in net.parameters()):,} parameters, {SIDE} px")
    x = torch.zeros(1, 3, SIDE, SIDE)
    torch.onnx.export(net, (x,), str(folder / "u2netp.onnx"), opset_version=17, dynamo=False)


def seconds(words, env):
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=env)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("python", help="interpreter that has rembg")
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put_network(folder)
        env = {**os.environ, "U2NET_HOME": name, "MODEL_CHECKSUM_DISABLED": "1"}
        for count in (1, PHOTOS + 1):
            draw_photos(folder / f"{count}", count)
        (folder / "out").mkdir()

        def theirs(count):
            return seconds([python, "-c", THEIRS, f"{folder / str(count)}", f"{folder}/out"], env)

        def ours(count):
            words = ["infer", f"{folder / str(count)}", "-o", f"{folder}/ours/", "--overwrite"]
            run = [sys.executable, "-m", "sodcli", *words, "--quiet", "--backend", "onnx"]
            return seconds(run, env)

        report({"rembg": theirs, "sod": ours})


def report(programs):
    taken = {(name, count): [] for name in programs for count in (1, PHOTOS + 1)}
    for turn in range(ROUNDS + 1):
        for (name, count), values in taken.items():
            took = programs[name](count)
            if turn:  # the first one reads all files from the disk
                values.append(took)
    one = {name: statistics.median(taken[name, 1]) for name in programs}
    more = {
        name: (statistics.median(taken[name, PHOTOS + 1]) - one[name]) / PHOTOS for name in programs
    }
    print(f"{'':8}{'one photo, whole process':>28}{'each further photo':>24}")
    for name in programs:
        for what, values in (("one photo", one), ("each further photo", more)):
            record(f"rembg, {what}", name, seconds=values[name], of="rembg",
                   ratio=values[name] / values["rembg"])  # fmt: skip
        print(f"{name:8}{one[name] * 1e3:19.0f} ms {one[name] / one['rembg']:5.2f}"
              f"{more[name] * 1e3:15.1f} ms {more[name] / more['rembg']:5.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
