"""All benchmarks, one after the other, under a description of the machine.

Run ``python -m tests.benchmarks [NAME...] [--python PYTHON]``; nothing else may run beside it.
PYTHON is the interpreter of a side environment with transparent-background, pysodmetrics and rembg;
without one, what compares with them is left out, and said so.
"""

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

OURS = {
    "networks": [],
    "backends": [],
    "photos": ["--count", "100"],
    "film_throughput": ["--frames", "300"],
    "live_cost": [],
    "training_step": [],
    "flicker": [],
}
THEIRS = {
    "inspyrenet_against_transparent_background": "transparent_background",
    "metrics_against_pysodmetrics": "py_sod_metrics",
    "cutouts_against_rembg": "rembg",
}
PACKAGES = ("torch", "onnxruntime", "openvino", "opencv-python", "numpy", "imageio-ffmpeg")


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "?")


def memory_gib():
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return "?"
    return f"{pages * size / 2**30:.0f}"


def describe():
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}")
    print(f"{processor()}, {os.cpu_count()} cores, {memory_gib()} GiB")
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    print(", ".join(found), flush=True)


def run(python, name, words):
    print(f"\n== {name} {' '.join(words)}".rstrip(), flush=True)
    command = [python, "-m", f"tests.benchmarks.{name}", *words]
    return subprocess.run(command, check=False).returncode


def compare(name, package, python):
    """Run what needs a package of others: inside its environment, or with its interpreter."""
    if name.startswith("metrics"):
        here = sys.executable if find_spec(package) else python
        return run(here, name, []) if here else left_out(name, package)
    return run(sys.executable, name, [python]) if python else left_out(name, package)


def left_out(name, package):
    print(f"\n== {name}\nleft out: needs an environment with {package} (--python)")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*OURS, *THEIRS, []], metavar="NAME")
    parser.add_argument("--python", help="interpreter that has what we compare with")
    chosen = parser.parse_args()
    describe()
    wanted = chosen.names or [*OURS, *THEIRS]
    codes = [
        run(sys.executable, name, OURS[name])
        if name in OURS
        else compare(name, THEIRS[name], chosen.python)
        for name in wanted
    ]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
