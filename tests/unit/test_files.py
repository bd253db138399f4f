"""Files are written completely or not at all."""

import os

import pytest

from sodcli.files import natural_key, sweep, whole_file, write_whole


def test_a_file_appears_complete_with_its_folders_and_default_permissions(tmp_path):
    target = tmp_path / "a" / "b" / "x.png"
    write_whole(target, b"all of it")
    assert target.read_bytes() == b"all of it"
    assert [p.name for p in target.parent.iterdir()] == ["x.png"]
    (tmp_path / "usual").touch()
    assert target.stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_only_the_old_file(tmp_path, error):
    target = tmp_path / "x.png"
    target.write_bytes(b"old")
    with pytest.raises(error), whole_file(target) as part:
        part.write_bytes(b"half")
        assert part.suffix == ".png"
        raise error
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_only_files_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / "x.png").touch()
    pid = os.fork() if hasattr(os, "fork") else None
    if pid is None:
        pytest.skip("no fork on this system")
    if pid == 0:
        with whole_file(tmp_path / "y.png"):
            os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert len(list(tmp_path.iterdir())) == 2
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_natural_order_compares_numbers():
    assert sorted(["10", "a", "2", "A1"], key=natural_key) == ["2", "10", "a", "A1"]
