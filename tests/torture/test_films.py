"""``sod infer`` on unusual, damaged and hostile films."""

from pathlib import Path

import pytest

from tests.torture import LONG
from tests.torture.corpus import DAMAGED, WHOLE, Case, cut, write
from tests.torture.films import PLAYLISTS, films, small
from tests.torture.trial import all_whole, leftovers, quick, refused, sod

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return list(films(tmp_path_factory.mktemp("films")))


def test_every_film_is_processed_or_refused_in_one_line(cases, tmp_path):
    chosen = cases if LONG else [case for case in cases if not case.name.startswith("plain")]
    write(chosen, tmp_path / "in")
    run = sod("infer", tmp_path / "in", *quick("-t", "map"))
    made = {Path(line).name for line in run.out.splitlines()}
    assert len(made) + len(run.errors) == len(chosen), run
    for case in chosen:
        there = any(
            name.startswith((f"{Path(case.name).stem}_map", f"{case.name}_map")) for name in made
        )
        wanted = {WHOLE: (True,), DAMAGED: (False,)}.get(case.expected, (True, False))
        assert there in wanted, (case.name, run)
    assert all_whole(tmp_path / "in_map") == len(made)
    assert not leftovers(tmp_path)


def test_a_film_truncated_anywhere_is_processed_or_refused(cases, tmp_path):
    names = ("plain.mp4", "plain.mkv", "plain.gif", "plain.ts") if LONG else ("plain.mkv",)
    for case in cases:
        if case.name not in names:
            continue
        done, out = 0, tmp_path / f"out-{case.name}"
        for part in cut(case, 10 if LONG else len(case.data) // 3 + 1):
            write([part], tmp_path)
            run = sod("infer", tmp_path / part.name, *quick("-t", "map", "-o", f"{out}/"))
            assert (run.code, len(run.errors)) in ((0, 0), (1, 1)), run
            done += run.code == 0
        assert not leftovers(tmp_path)
        assert (all_whole(out) if out.exists() else 0) == done


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_opens_no_other_file(name, tmp_path):
    small(tmp_path / "secret.mp4")
    write([Case(name, PLAYLISTS[name].encode())], tmp_path)
    refused("infer", tmp_path / name, *quick("-t", "map"))
    refused("infer", tmp_path / "secret.mp4", *quick("-t", tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["secret.mp4", name])


@pytest.mark.parametrize(
    "name", ["-i.mp4", "concat:a|b.mp4", "http:||x.mp4", "frame%03d.mp4", "[red].mp4"]
)
def test_a_film_may_have_any_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "plain.mp4").rename(tmp_path / name)
    run = sod("infer", *quick("-t", "map"), "--", name)
    assert run.code == 0, run
    assert Path(run.out.splitlines()[0]).name == f"{Path(name).stem}_map.mp4"
    assert all_whole(tmp_path) == 2
