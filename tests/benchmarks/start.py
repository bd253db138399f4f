"""Time of ``sod infer photo.jpg`` as a whole process with each installed engine.

Run ``python -m tests.benchmarks.start [--rounds 5]``. The photo is drawn, the model is built in.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from sodcli.runtime.backends.choose import installed
from tests.benchmarks.kit import draw_photos, in_turn, report_processes, run_process


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        photo = draw_photos(Path(name), 1) / "0000.jpg"
        words = [sys.executable, "-m", "sodcli", "infer", photo, "--overwrite", "--backend"]
        works = {one: [*words, one] for one in filter(installed, ("torch", "onnx", "openvino"))}
        report_processes("sod infer photo.jpg", in_turn(works, rounds, run_process))


if __name__ == "__main__":
    main()
