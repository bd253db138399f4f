"""Removal of leftovers, locks, and reading with a size limit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sodcli.data.read import MAX_PIXELS, checked, picture_size
from sodcli.errors import SinkError, SourceError
from sodcli.files import atomic as whole_module
from sodcli.files import (
    read_regular,
    read_settings,
    sweep,
    temporary_folder,
    user_path,
    whole_file,
    write_whole,
)
from sodcli.files.locks import is_free
from tests.torture.corpus import encoded, photo, png

posix = pytest.mark.skipif(os.name != "posix", reason="Windows neither locks nor renames like this")
HOLD = """
import sys
from pathlib import Path
from pathlib import Path
from sodcli.files import whole_file
with whole_file(Path(sys.argv[1])) as part:
    print(part, flush=True)
    sys.stdin.readline()
    part.write_bytes(b"all")
"""


@posix
def test_files_of_a_running_process_are_not_removed(tmp_path):
    target = tmp_path / "a.png"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(target)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    part = process.stdout.readline().strip()
    sweep(tmp_path)
    assert Path(part).exists()
    process.communicate("\n")
    assert target.read_bytes() == b"all"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@posix
def test_the_first_write_into_a_folder_removes_leftovers(tmp_path):
    (tmp_path / ".sod-left.png").write_bytes(b"half")
    (tmp_path / ".sod-link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / ".sod-fifo")
    with whole_file(tmp_path / "a.png") as part:
        part.write_bytes(b"all")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".sod-fifo", ".sod-link", "a.png"]


@posix
def test_a_temporary_file_removed_before_it_is_locked_is_created_again(tmp_path, monkeypatch):
    calls = []

    def take(handle):
        calls.append(handle)
        if len(calls) == 1:
            raise BlockingIOError
        if len(calls) == 2:
            (left,) = (p for p in tmp_path.iterdir() if p.stat().st_ino == os.fstat(handle).st_ino)
            left.unlink()

    monkeypatch.setattr(whole_module.locks, "take", take)
    monkeypatch.setattr(whole_module, "_swept", {tmp_path})
    with whole_file(tmp_path / "a.png") as part:
        part.write_bytes(b"all")
    assert len(calls) == 3
    assert (tmp_path / "a.png").read_bytes() == b"all"


@posix
def test_without_locks_files_are_written_and_nothing_is_removed(tmp_path, monkeypatch):
    def none(handle):
        raise OSError("no locks here")

    monkeypatch.setattr(whole_module.locks, "take", none)
    (tmp_path / ".sod-left.png").write_bytes(b"half")
    with whole_file(tmp_path / "a.png") as part, temporary_folder(tmp_path, "film") as shop:
        part.write_bytes(b"all")
        assert shop.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".sod-left.png", "a.png"]
    with (tmp_path / "a.png").open("rb") as file:
        assert not is_free(file.fileno())


def test_an_empty_temporary_folder_without_a_lock_is_removed(tmp_path):
    (tmp_path / ".sod-film-empty").mkdir()
    (tmp_path / ".sod-film-full").mkdir()
    (tmp_path / ".sod-film-full" / "work").touch()
    with temporary_folder(tmp_path, "film") as shop:
        (shop / "inner").mkdir()
        (shop / "inner" / "x").touch()
    assert [p.name for p in tmp_path.iterdir()] == [".sod-film-full"]


@posix
def test_a_dead_folder_that_comes_to_life_is_not_removed(tmp_path, monkeypatch):
    """Its process takes the lock between the check and the removal."""
    left, taken = tmp_path / ".sod-film-left", []
    left.mkdir()
    (left / "lock").touch()

    def rename(path, target):
        with (path / "lock").open("rb+") as file:
            taken.append(is_free(file.fileno()))
        os.rename(path, target)  # noqa: PTH104 - Path.rename is this function
        return target

    monkeypatch.setattr(Path, "rename", rename)
    with temporary_folder(tmp_path, "film"):
        assert not left.exists()
    assert taken == [False]


def test_a_regular_file_is_read_up_to_a_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    assert read_settings(tmp_path / "a") == "12345"
    with pytest.raises(OSError, match="too large"):
        read_regular(tmp_path / "a", 4)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 4)


@posix
def test_fifos_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SinkError, match="fifo: Not a regular file"):
        write_whole(tmp_path / "fifo", b"x")
    assert (tmp_path / "fifo").is_fifo()
    for path in (tmp_path / "fifo", "/dev/zero"):
        with pytest.raises(OSError, match="Not a regular file"):
            read_regular(user_path(path), 4)


def test_tilde_of_an_unknown_user_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert user_path("~/x") == tmp_path / "x"
    assert str(user_path("~nobodyatall/x")) in ("~nobodyatall/x", r"~nobodyatall\x")


def test_headers_are_checked_before_pictures_are_decoded(tmp_path):
    whole = encoded(photo((40, 48)), "PNG")
    noisy = whole[:33] + b"\0\0\0\1iCCPx" + b"\0\0\0\0" + whole[33:]
    (tmp_path / "a.png").write_bytes(whole)
    assert picture_size(tmp_path / "a.png") == (40, 48)
    assert checked(whole, tmp_path) == whole
    assert checked(b"no picture", tmp_path) == b"no picture"
    for data in (whole[:-12], noisy, b"\x89PNG\r\n\x1a\n", png(0, 0)):
        with pytest.raises(SourceError, match="is damaged"):
            checked(data, tmp_path)
    for size in ((20000, 20000), (12000, MAX_PIXELS // 12000 + 1)):
        bomb = png(*size, depth=1, colour=0, rows=1)
        (tmp_path / "bomb.png").write_bytes(bomb)
        with pytest.raises(SourceError, match="is larger than"):
            checked(bomb, tmp_path)
    with pytest.raises(SourceError, match="o such file"):
        picture_size(tmp_path / "none.png")
