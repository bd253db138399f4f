#!/usr/bin/env bash
# Surprise: timm.create_model("vgg16_bn", features_only=True) builds and randomly fills the whole classifier, 123.6 million
#   numbers, and then drops it: eight times as many as the backbone that is returned. Filling them is nearly all of the time
#   that a network on VGG16 takes to start from nothing. The argument mlp_ratio, meant for its width, leaves 4.2 of them.
# Packages: timm 1.0.31, torch 2.14.1, torchvision 0.29.1
# Guess: features_only builds what it returns (a ResNet-50 drops 2 million of 25 that way).
# Seen 2026-11-28: as it is: 14.7 million parameters returned, 138.3 million numbers filled;
#   mlp_ratio=1e-3: 14.7 million parameters returned, 18.9 million numbers filled
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check timm==1.0.31 torch==2.14.1 torchvision==0.29.1
cat > "$work/count.py" <<'PY'
import sys

import timm
import torch
from torch.overrides import TorchFunctionMode


class Fills(TorchFunctionMode):
    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ == "normal_":
            self.count += (args[0] if args else kwargs["tensor"]).numel()
        return func(*args, **(kwargs or {}))


def built(**options):
    with torch.device("meta"), Fills() as fills:
        net = timm.create_model("vgg16_bn", pretrained=False, features_only=True, **options)
    return sum(one.numel() for one in net.parameters()), fills.count


results = {"as it is": built(), "mlp_ratio=1e-3": built(mlp_ratio=1e-3)}
for name, (returned, filled) in results.items():
    print(f"{name}: {returned / 1e6:.1f} million parameters returned, {filled / 1e6:.1f} million numbers filled")
(plain, filled), (same, few) = results.values()
sys.exit(not (plain == same and filled > 8 * plain and few < 1.5 * same))
PY
"$work/venv/bin/python" "$work/count.py"
