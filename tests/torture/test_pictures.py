"""``sod infer`` on unusual, damaged and hostile pictures."""

import itertools
import json
import os
import threading
import time
from pathlib import Path

import pytest

from tests.torture import LONG
from tests.torture.corpus import (
    DAMAGED,
    ODD_NAMES,
    WHOLE,
    Case,
    cut,
    encoded,
    photo,
    pictures,
    write,
)
from tests.torture.trial import all_whole, leftovers, quick, sod

_STEP = 10 if LONG else 400
_PER_RUN = 2000


def infer_all(folder, cases):
    """Process a folder of cases; each must give either a picture or one line of error."""
    run = sod("infer", folder, *quick("-t", "map", "--overwrite"))
    made = [Path(line) for line in run.out.splitlines()]
    assert run.code == (3 if run.errors else 0), run
    assert len(made) + len(run.errors) == len(cases), run
    assert all_whole(made[0].parent) == len(made) if made else True
    assert not leftovers(folder.parent)
    return {path.name for path in made}, run


def outcome(case, made):
    """Return the result of a case; names that would clash keep the old extension.

    An animated picture is a film, whose map has another suffix.
    """
    stem = case.name.rpartition(".")[0]
    there = {f"{stem}_map", f"{case.name}_map"} & {Path(name).stem for name in made}
    return WHOLE if there else DAMAGED


def test_every_picture_is_read_or_refused_in_one_line(tmp_path):
    cases = [case for case in pictures() if not case.name.endswith(".ppm")]
    write(cases, tmp_path / "in")
    made, run = infer_all(tmp_path / "in", cases)
    wrong = [case.name for case in cases if case.expected not in (outcome(case, made), "either")]
    assert not wrong, run
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "in_map"]


def test_a_picture_truncated_anywhere_gives_a_picture_or_one_line(tmp_path):
    whole = [case for case in pictures() if case.expected == WHOLE and len(case.data) < 20_000]
    cuts = itertools.chain.from_iterable(cut(case, _STEP) for case in whole)
    cuts = [case for case in cuts if not case.name.endswith(".ppm")]
    assert len(cuts) > (5_000 if LONG else 100)
    for number, at in enumerate(range(0, len(cuts), _PER_RUN)):
        part = write(cuts[at : at + _PER_RUN], tmp_path / f"in{number}")
        infer_all(tmp_path / f"in{number}", part)


def test_a_truncated_picture_on_standard_input(tmp_path):
    for form in ("PNG", "JPEG", "WEBP") if LONG else ("PNG",):
        data = encoded(photo(), form)
        for end in (0, 7, len(data) // 2):
            run = sod("infer", "-", *quick("-t", "map", "-o", tmp_path / "x.png"), stdin=data[:end])
            assert (run.code, len(run.errors)) == (1, 1), run
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_odd_file_names_are_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = encoded(photo(), "PNG")
    cases = [Case(f"{name}.png", data) for name in ODD_NAMES]
    write(cases, tmp_path / "in")
    shown = [case for case in cases if not case.name.startswith(".")]
    run = sod("infer", "in", "--json", *quick("-t", "map"))
    told = {Path(row["output"]).name for row in json.loads(run.out)["results"]}
    assert told == {f"{case.name.removesuffix('.png')}_map.png" for case in shown}
    assert told == {path.name for path in (tmp_path / "in_map").iterdir()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "in_map"]
    for case in shown if LONG else shown[:12:3]:
        bad = Path("in", case.name)
        bad.write_bytes(b"no picture")
        run = sod("infer", f"./{bad}", *quick("-t", "map", "-o", "out/"))
        assert (run.code, len(run.errors)) == (1, 1), run


def test_a_folder_that_changes_while_it_is_walked(tmp_path):
    folder, data, stop = tmp_path / "in", encoded(photo(), "PNG"), threading.Event()
    write([Case(f"{number}.png", data) for number in range(60)], folder)

    def change():
        for number in itertools.cycle(range(60)):
            if stop.is_set():
                return
            (folder / f"{number}.png").unlink(missing_ok=True)
            (folder / f"new{number}.png").write_bytes(data[: 20 * number])
            (folder / f"dir{number}").mkdir(exist_ok=True)
            time.sleep(0.002)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        run = sod("infer", folder, "-r", *quick("-t", "map"))
    finally:
        stop.set()
        thread.join()
    assert run.code in (0, 3), run
    assert all_whole(tmp_path / "in_map") == len(run.out.splitlines())
    assert not leftovers(tmp_path)
