"""Kill ``sod`` at random moments: ``python -m tests.torture.kill --times 200``.

Each time, a command is started in its own folder and killed with SIGKILL, up to three times. Then
every file under its final name must be complete, and the same command, started again, must finish
the job and leave no temporary files. Children are forked from a process that has imported
everything, because imports take most of the time of such small runs.
"""

import argparse
import faulthandler
import importlib
import os
import pkgutil
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import torch
from PIL import Image

import sodcli
from tests.conftest import manifest, rule_weights
from tests.draw_kit import draw_photo
from tests.film_kit import render
from tests.sparse_film import draw_film
from tests.torture.trial import Run, all_whole, check_rules, leftovers, quick
from tests.training_kit import draw_pairs

cv2.setNumThreads(0)  # before its first use: a pool of threads does not survive a fork

_LIMIT_S = 1000.0  # on a machine with other work too, only what hangs takes so long
_FEW = 20  # times; with fewer, the first run of a command is timed although caches are cold
Words = tuple[object, ...]


@dataclass(frozen=True)
class Scene:
    """A command that can be killed.

    Attributes:
        words: The command, for a folder of inputs and one of outputs.
        results: Number of files that it writes under the outputs.
        again: The command that continues it, if it is a different one.
    """

    words: Callable[[Path, Path], Words]
    results: int
    again: Callable[[Path, Path], Words] | None = None

    def next(self, source: Path, out: Path, *, begun: bool) -> Words:
        return (self.again if begun and self.again else self.words)(source, out)


def _film(source: Path, kind: str, out: object) -> Words:
    return ("infer", source / "film.mp4", *quick("-t", kind, "-o", out))


def _train(source: Path, out: Path) -> Words:
    words = ("--epochs", 2, "--batch", 2, "--size", 32, "--save-every", 0)
    return ("train", "-m", "sdnet", "--data", source / "pairs", "-o", out / "run", *words)


def _resume(source: Path, out: Path) -> Words:
    begun = (out / "run" / "config.toml").exists()
    return (
        ("train", "--resume", "-o", out / "run", "--save-every", 0)
        if begun
        else _train(source, out)
    )


def _reports(out: Path) -> Words:
    return tuple(w for kind in ("json", "csv", "xlsx", "html") for w in ("-o", out / f"r.{kind}"))


SCENES = {
    "photos": Scene(lambda a, b: ("infer", a / "photos", *quick("-o", f"{b}/")), 10),
    "film": Scene(lambda a, b: _film(a, "green", b / "x.mp4"), 1),
    "frames": Scene(lambda a, b: _film(a, "rgba", f"{b}/f/"), 25),
    "frames into a folder": Scene(lambda a, b: _film(a, "rgba", f"{b}/"), 25),
    "test": Scene(lambda a, b: ("test", *quick("--data", a / "pairs", "-o", b, "--resume")), 7),
    "eval": Scene(lambda a, b: ("eval", a / "pairs" / "masks", a / "pairs", *_reports(b)), 4),
    "train": Scene(_train, 5, _resume),
    "pseudo-label": Scene(
        lambda a, b: ("pseudo-label", "--data", a / "films", "--warp-only", "-o", b), 11
    ),
    "fetch weights": Scene(
        lambda a, b: ("fetch", "stdnet-davis", "--from", a / "stdnet.pth"), 3
    ),
    "fetch a set": Scene(
        lambda a, b: ("fetch", "ECSSD", "--from", a / "set.zip", "--dir", b / "sets"), 40
    ),
    "reparam": Scene(lambda a, b: ("reparam", "sdnet", "-o", b / "x.safetensors"), 1),
}  # fmt: skip


@dataclass
class Tally:
    """Counts of outcomes."""

    killed: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    swept: Counter[str] = field(default_factory=Counter)
    files: int = 0  # read from start to end


def make_inputs(folder: Path) -> Path:
    """Draw and render the inputs of the commands."""
    (folder / "photos").mkdir(parents=True)
    for number in range(10):
        picture = Image.fromarray(draw_photo(seed=number, size_hw=(64, 80))[0])
        picture.save(folder / "photos" / f"{number}.png")
    render(folder / "film.mp4", sound=True)
    draw_pairs(folder / "pairs", count=6)
    film = folder / "films" / "toys" / "disc"
    draw_film(film / "images", film / "GT", frames=26)
    entries = manifest("stdnet/manifest_stdnet.json")["training"]
    torch.save({f"module.{k}": v for k, v in rule_weights(entries).items()}, folder / "stdnet.pth")
    with zipfile.ZipFile(folder / "set.zip", "w") as packed:
        for number in range(40):
            packed.write(folder / "photos" / f"{number % 10}.png", f"ECSSD/images/{number}.png")
    return folder


def _import_all() -> None:
    """Import everything that children need."""
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(sodcli.__path__, "sodcli."):
        if not module.name.endswith(("_backend", "__main__")):
            importlib.import_module(module.name)


def start(words: Words, out: Path, log: Path) -> int:
    """Fork a process that runs ``sod`` with ``words``; return its process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        faulthandler.enable()
        os.environ["SOD_HOME"] = str(out / "home")
        from sodcli.cli.app import app

        sys.argv = ["sod", *map(str, words)]
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - a forked child must not continue in the parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, seconds: float, sign: Callable[[], object] | None = None) -> int | None:
    """Wait for the end of a process for at most ``seconds``.

    Returns:
        Its exit code (negative for a signal), or ``None`` if it still runs.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end or (sign is not None and not sign()):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        time.sleep(0.002)
    return None


def finish(scene: Scene, source: Path, out: Path, *, begun: bool) -> tuple[float, int]:
    """Run a scene to its end and check its files; return the seconds it took, and their number."""
    words, log = scene.next(source, out, begun=begun), out.with_suffix(".log")
    began = time.monotonic()
    child = start(words, out, log)
    code = wait(child, _LIMIT_S)
    if code is None:
        os.kill(child, signal.SIGABRT)  # faulthandler then prints its stack
        os.waitpid(child, 0)
        raise AssertionError(f"{words}: hangs\n{log.read_text()}")
    run = Run(tuple(map(str, words)), code, "", log.read_text())
    check_rules(run)
    assert code == 0, run
    assert not leftovers(out), (run, leftovers(out))
    seconds, files = time.monotonic() - began, all_whole(out)
    assert files >= scene.results, (run, sorted(out.rglob("*")))
    return seconds, files


def kill_once(
    scene: Scene, source: Path, out: Path, seconds: float, chance: random.Random
) -> tuple[str, int]:
    """Start a scene, kill it at a random moment; return the outcome and the number of its files."""
    log = out.with_suffix(".log")
    begun = out.exists() and any(out.iterdir())
    out.mkdir(exist_ok=True)
    child = start(scene.next(source, out, begun=begun), out, log)
    at_work = chance.random() < 0.5  # while a file is written, otherwise at any moment
    code = wait(child, chance.uniform(0, seconds), (lambda: leftovers(out)) if at_work else None)
    if code is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    else:
        assert code == 0, log.read_text()
    what = "killed with leftovers" if leftovers(out) else "killed"
    return "finished" if code == 0 else what, all_whole(out)


def kill(times: int, folder: Path, names: list[str], seed: int = 0, echo: bool = False) -> Tally:
    """Kill the scenes in turn, ``times`` times in total, and finish each afterwards."""
    chance, tally = random.Random(seed), Tally()
    if times > _FEW:
        _import_all()
    source = make_inputs(folder / "in")
    typical: dict[str, float] = {}
    number = 0
    while sum(tally.killed.values()) < times:
        name = names[number % len(names)]
        number += 1
        scene, out = SCENES[name], folder / f"{number}"
        if name not in typical:
            for _ in range(2 if times > _FEW else 1):
                out.mkdir()
                typical[name], _ = finish(scene, source, out, begun=False)
                shutil.rmtree(out)
        for _ in range(chance.choice((1, 1, 2, 3))):
            began = time.monotonic()
            what, files = kill_once(scene, source, out, 1.1 * typical[name], chance)
            tally.files += files
            if what == "finished":  # faster than before: later kills come sooner
                typical[name] = min(typical[name], time.monotonic() - began)
            tally.finished[name] += what == "finished"
            tally.killed[name] += what != "finished"
            tally.swept[name] += what == "killed with leftovers"
            if what == "finished":
                break
        if what != "finished":
            tally.files += finish(scene, source, out, begun=True)[1]
        shutil.rmtree(out)
        if echo:
            print(f"\r{sum(tally.killed.values())} of {times} kills", end="", file=sys.stderr)
    return tally


def main() -> None:
    """Run the kills that the command line requests, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.kill")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(SCENES), default=list(SCENES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = kill(given.times, Path(folder), given.only, given.seed, echo=True)
    print(f"\n{'command':22} {'killed':>7} {'leftovers':>10} {'was done':>9}")
    for name in given.only:
        print(f"{name:22} {tally.killed[name]:7} {tally.swept[name]:10} {tally.finished[name]:9}")
    total = sum(tally.killed.values())
    print(
        f"{total} kills in {time.monotonic() - began:.0f} s; all {tally.files:,} files whole, "
        "every job finished"
    )


if __name__ == "__main__":
    main()
