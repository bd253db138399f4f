"""A photo and a film with the current plain install against an earlier version.

Run ``python -m tests.benchmarks.plain_install OLD NEW [--rounds 5] [--frames 150]``: the
interpreters of two environments, each made by ``pip install`` of a checkout or a wheel and nothing
else. Whole processes, in turn; photo and film are drawn, the defaults of each version decide.
"""

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.kit import draw_photos, in_turn, report_processes, run_process
from tests.film_kit import ffmpeg

SIZES = ("640x360", "1920x1080")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=150, help="of the small film; 0: no films")
    parser.add_argument("--types", nargs="+", default=["blur", "rgba"])
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def compare(table, new, source, *words, rounds=wanted.rounds):
            # -I: else Python imports this checkout in place of what is installed.
            run = ["-I", "-m", "sodcli", "infer", source, "--overwrite", *words]
            works = {"old": [wanted.old, *run], new: [wanted.new, *run]}
            report_processes(f"plain install, {table}", in_turn(works, rounds, run_process))

        compare("photo", "new", draw_photos(folder, 1) / "0000.jpg")
        for size in SIZES if wanted.frames else ():
            film = folder / f"{size}.mp4"
            frames = wanted.frames if size == SIZES[0] else wanted.frames // 5
            ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r=30", "-frames:v", frames,
                   "-pix_fmt", "yuv420p", film)  # fmt: skip
            for kind in wanted.types:
                rounds = max(1, wanted.rounds // 2)
                compare(f"film {size}", f"new, {kind}", film, "-t", kind, rounds=rounds)


if __name__ == "__main__":
    main()
