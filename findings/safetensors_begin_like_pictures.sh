#!/usr/bin/env bash
# Surprise: a safetensors file has no signature. It begins with the length of its header, a little-endian number, so a few lines
#   more of metadata change what its first bytes look like: with a header of 13,648 bytes it begins with "P5", with 13,904
#   bytes with "P6", with 15,392 bytes with " <". A program that tells files apart by their first bytes takes the same weights
#   for a PGM or PPM picture, or for a web page that came in place of a download.
# Packages: safetensors 0.8.0, puremagic 1.30, numpy 2.4.6
# Guess: a file of weights is recognised, or not, whatever its metadata says.
# Seen 2026-11-28: not recognised with 13,640 and 13,656 bytes, ".pgm" with 13,648, ".ppm" with 13,904; each file loads
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check safetensors==0.8.0 puremagic==1.30 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
from pathlib import Path

import numpy as np
import puremagic
from safetensors.numpy import load_file, save_file

weights = {"w": np.arange(4, dtype=np.float32)}


def header_bytes(note):
    """Write the weights with a note in the metadata; return the length of the header."""
    save_file(weights, "a.safetensors", {"note": note})
    return int.from_bytes(Path("a.safetensors").read_bytes()[:8], "little")


def kind(length):
    """Return what the file is taken for when its header has this length."""
    assert header_bytes("x" * (length - header_bytes(""))) == length
    assert np.array_equal(load_file("a.safetensors")["w"], weights["w"])
    try:
        return puremagic.from_file("a.safetensors")
    except puremagic.PureError:
        return None


seen = {length: kind(length) for length in (13640, 13648, 13656, 13904)}
print("header length and kind:", seen)
assert seen == {13640: None, 13648: ".pgm", 13656: None, 13904: ".ppm"}
PY
