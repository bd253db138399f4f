#!/usr/bin/env bash
# Surprise: four lines that compile nothing import all of torch._dynamo, torch's compiler, with sympy and triton: import timm
#   (torchvision's roi_align asks the compiler a question at import), any optimiser of torch.optim, filling a tensor of the
#   meta device with random numbers, and stacking two of them. That is 900 modules in two seconds, where "import torch" takes three.
#   A layer on the meta device does not; torch.testing.assert_close imports sympy and the distributed tensors instead.
# Packages: torch 2.14.1, timm 1.0.31, torchvision 0.29.1
# Guess: the compiler is imported by torch.compile and torch.export, and the meta device, which computes nothing, is light.
# Seen 2026-11-28: compiler, further modules:
#   nothing: no, 0; timm: yes, 1495; optimiser: yes, 892; fill: yes, 892; stack: yes, 892; layer: no, 0; close: no, 519
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check timm==1.0.31 torch==2.14.1 torchvision==0.29.1
cat > "$work/count.py" <<'PY'
import sys

import torch

before = len(sys.modules)
exec({
    "nothing": "",
    "timm": "import timm",
    "optimiser": "torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)",
    "fill": "torch.empty(2, device='meta').normal_()",
    "stack": "torch.stack([torch.empty(2, device='meta')] * 2)",
    "layer": "torch.nn.Conv2d(3, 3, 3, device='meta')",
    "close": "torch.testing.assert_close(torch.ones(2), torch.ones(2))",
}[sys.argv[1]])
has = "yes" if "torch._dynamo" in sys.modules else "no"
print(f"{sys.argv[1]}: {has}, {len(sys.modules) - before}")
PY
failed=0
for expected in "nothing no" "timm yes" "optimiser yes" "fill yes" "stack yes" "layer no" "close no"; do
  set -- $expected
  line=$("$work/venv/bin/python" "$work/count.py" "$1")
  echo "$line"
  case $line in "$1: $2, "*) ;; *) failed=1 ;; esac
done
exit $failed
