"""All benchmarks, one after the other, under a description of the machine.

Run ``python -m tests.benchmarks [NAME...] [--quick] [--python PYTHON] [--old OLD --new NEW]
[--json results.json]``; nothing else should run beside it. Everything is drawn by code, so that it
works in any checkout. PYTHON is the interpreter of another environment with transparent-background,
pysodmetrics and rembg; OLD and NEW are those of two plain installs. Benchmarks that lack one are
skipped with a message. ``python -m tests.benchmarks.tables results.json`` puts the ratios into the
README.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.kit import RESULTS

OURS = {  # arguments of each, in full and with --quick
    "start": ([], ["--rounds", "2"]),
    "networks": ([], []),
    "backends": ([], []),
    "photos": (["--count", "1000"], ["--count", "60", "--rounds", "1"]),
    "film_throughput": (["--frames", "300"], ["--frames", "210", "--round", "40"]),
    "live_cost": ([], []),
    "training_step": ([], []),
    "flicker": ([], []),
    "ray_against_torchrun": ([], ["--count", "60", "--rounds", "1"]),
}
THEIRS = {
    "plain_install": None,
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


def machine():
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{processor()}, {os.cpu_count()} cores, {memory_gib()} GiB",
        "packages": found,
    }


def run(python, name, words):
    print(f"\n== {name} {' '.join(words)}".rstrip(), flush=True)
    command = [python, "-m", f"tests.benchmarks.{name}", *words]
    return subprocess.run(command, check=False).returncode


def compare(name, package, chosen):
    """Run the benchmarks that need another package, in its environment or with its interpreter."""
    if name == "plain_install":
        words = [
            chosen.old,
            chosen.new,
            *(["--rounds", "2", "--frames", "0"] if chosen.quick else []),
        ]
        there = chosen.old and chosen.new
        return run(sys.executable, name, words) if there else left_out(name, "--old and --new")
    if name.startswith("metrics"):
        here = sys.executable if find_spec(package) else chosen.python
        return run(here, name, []) if here else left_out(name, f"{package}: --python")
    there = chosen.python
    return run(sys.executable, name, [there]) if there else left_out(name, f"{package}: --python")


def left_out(name, needed):
    print(f"\n== {name}\nleft out: needs {needed}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*OURS, *THEIRS, []], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, frames and photos")
    parser.add_argument("--python", help="interpreter that has what we compare with")
    parser.add_argument("--old", help="interpreter of a plain install of an earlier version")
    parser.add_argument("--new", help="interpreter of a plain install of this one")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"))
    chosen = parser.parse_args()
    about = machine()
    print(*about.values(), sep="\n", flush=True)
    codes = []
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows")
        rows.touch()
        os.environ[RESULTS] = str(rows)
        for name in chosen.names or [*OURS, *THEIRS]:
            if name in OURS:
                codes.append(run(sys.executable, name, OURS[name][chosen.quick]))
            else:
                codes.append(compare(name, THEIRS[name], chosen))
        found = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    document = {"machine": about, "results": found}
    chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"\n{len(found)} rows: {chosen.json}")
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
