"""Photos through ``sodcli.batch.CutOut`` on two Ray workers against two processes of torchrun.

Run ``python -m tests.benchmarks.ray_against_torchrun [FOLDER] [--count 1000] [--rounds 3]``; it
needs the extra [ray]. Both are whole programs that begin and end on the disk, in turn. Listed apart
is the job without the start and the end of the cluster, which a cluster that runs already does not
pay. Processor time counts the workers, the driver and Ray's own processes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.kit import draw_photos, in_turn, report, run_process

WORKERS = 2
# The workers write down their processor time, because Ray takes them away without asking for it.
JOB = """
import json, os, sys, time
from pathlib import Path

def used(stat):
    return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")

def family():
    '''Processor seconds of the processes below this one that are there now, by number.'''
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats[int(path.parent.name)] = path.read_text()
        except OSError:
            continue
    parents = {pid: int(stat.rpartition(")")[2].split()[1]) for pid, stat in stats.items()}
    own = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= more
    return {pid: used(stats[pid]) for pid in own - {os.getpid()}}

import ray
from sodcli.batch import CutOut

photos, out, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

class Timed(CutOut):
    def __call__(self, batch):
        made = super().__call__(batch)
        (out / f"{os.getpid()}.seconds").write_text(str(time.process_time()))
        return made

ray.init(num_cpus=workers + 1, include_dashboard=False, logging_level="error")  # one reads
ray.data.DataContext.get_current().enable_progress_bars = False
begin = time.perf_counter()
read = ray.data.read_binary_files(str(photos), include_paths=True)
cut = read.map_batches(Timed, batch_size=16, compute=ray.data.ActorPoolStrategy(size=workers))
cut.select_columns(["path", "cut_out", "error"]).write_parquet(str(out / "cut"))
job = time.perf_counter() - begin
others = family()
ray.shutdown()
for file in out.glob("*.seconds"):
    others[int(file.stem)] = float(file.read_text())
(out / "told").write_text(json.dumps([job, sum(others.values()) + time.process_time()]))
"""
PATIENT = {  # Ray's workers yield to all other programs, and start over if they are slow to start
    "RAY_worker_niceness": "0",
    "RAY_worker_register_timeout_seconds": "300",
}


def by_ray(folder):
    """Cut out the photos of a folder; return wall, processor seconds, and wall of the job alone."""
    with tempfile.TemporaryDirectory() as out:
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", JOB, str(folder), out, str(WORKERS)],
            capture_output=True, text=True, env={**os.environ, **PATIENT},
        )  # fmt: skip
        wall = time.perf_counter() - begin
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        check(Path(out, "cut"), folder)
        job, used = json.loads(Path(out, "told").read_text())
        return wall, used, job


def check(cut, folder):
    """Every photo has its cut-out."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(cut)
    assert table.num_rows == sum(1 for _ in folder.iterdir())
    assert set(table["error"].to_pylist()) == {""}
    assert min(map(len, table["cut_out"].to_pylist())) > 100


def by_torchrun(folder):
    with tempfile.TemporaryDirectory() as out:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", WORKERS]
        words = ["-m", "sodcli", "infer", folder, "-o", out, "-q"]
        wall, used, _ = run_process([sys.executable, *launch, *words])
        assert len(list(Path(out).iterdir())) == len(list(folder.iterdir()))
        return wall, used, wall


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="default: photos that are drawn")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    if find_spec("ray") is None:
        print("left out: needs the extra [ray]")
        return
    with tempfile.TemporaryDirectory() as drawn:
        folder = wanted.folder or draw_photos(Path(drawn), wanted.count)
        works = {"torchrun": lambda: by_torchrun(folder), "Ray": lambda: by_ray(folder)}
        taken = in_turn(works, wanted.rounds, measure=lambda work: work())
    count = wanted.folder or wanted.count
    for index, clock in enumerate(("wall", "processor", "wall without the cluster's start")):
        columns = {name: [row[index] for row in rows] for name, rows in taken.items()}
        report(f"{count} photos, {WORKERS} workers, {clock}", columns, unit="s")


if __name__ == "__main__":
    main()
