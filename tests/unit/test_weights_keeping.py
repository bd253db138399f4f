"""Around downloads: locks between processes, the lockfile, environment variables."""

import subprocess
import sys
import threading
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodcli.errors import ChecksumError, MissingError, UsageError
from sodcli.files import file_lock, locks
from sodcli.weights.cache import by_hand, mirrors, missing, offline
from sodcli.weights.download import reserved
from sodcli.weights.download_settings import Checksum, DownloadEvents, ExpectedFile, check
from sodcli.weights.lockfile import Lockfile, Record

HOLD = """
import sys
from pathlib import Path
from sodcli.files import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    return process


def test_two_processes_exclude_each_other(tmp_path):
    waited, entered = threading.Event(), threading.Event()

    def second():
        with file_lock(tmp_path / "x.lock", waited.set) as only:
            assert only
            entered.set()

    with holder(tmp_path / "x.lock") as process:
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(10)
        assert not entered.is_set()
        process.stdin.write("\n")
        process.stdin.flush()
        thread.join(10)
        assert entered.is_set()


def test_a_killed_process_leaves_nothing_locked(tmp_path):
    with holder(tmp_path / "x.lock") as process:
        process.kill()
        process.wait()
        with file_lock(tmp_path / "x.lock") as only:
            assert only


def test_without_locks_each_process_has_a_part_of_its_own(tmp_path, monkeypatch):
    def no_locks(_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks, "take", no_locks)
    with reserved("x", tmp_path, DownloadEvents()) as part:
        assert part.path.name != "x.part"
        part.path.write_bytes(b"1")
    assert not part.path.exists()


def test_an_interrupted_part_is_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt), reserved("x", tmp_path, DownloadEvents()) as part:
        part.path.write_bytes(b"1")
        raise KeyboardInterrupt
    assert part.path == tmp_path / "downloads" / "x.part"
    assert part.size == 1


RECORD = Record("https://host/x.pth", 3, "a" * 64, 2, "b" * 64)


def test_records_read_back(tmp_path):
    lockfile = Lockfile(tmp_path / "home")
    assert lockfile.records() == {}
    unpacked = Record("DUTS-TE.zip", 5, "c" * 64)
    lockfile.add("x", RECORD)
    lockfile.add("y.z", unpacked)
    lockfile.add("x", RECORD)
    assert Lockfile(tmp_path / "home").records() == {"x": RECORD, "y.z": unpacked}
    assert RECORD.published == ExpectedFile(3, "a" * 64)
    assert RECORD.ours == ExpectedFile(2, "b" * 64)


@given(source=st.text())
def test_any_source_name_can_be_recorded(tmp_path_factory, source):
    lockfile = Lockfile(tmp_path_factory.mktemp("home"))
    lockfile.add("x", Record(source, 1, "a" * 64))
    found = tomllib.loads(lockfile.path.read_text(encoding="utf-8"))["x"]
    assert found["source"] == source.encode(errors="replace").decode()


def test_concurrent_writers_lose_no_record(tmp_path):
    lockfile = Lockfile(tmp_path)
    threads = [
        threading.Thread(target=lockfile.add, args=(f"x{n}", RECORD), daemon=True) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lockfile.records()) == [f"x{n}" for n in range(8)]


@pytest.mark.parametrize("text", ["[x", "x = 1", "[x]\nodd = 1", "[x]\n", b"\xff"])
def test_a_damaged_record_is_reported(tmp_path, text):
    (tmp_path / "lock.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MissingError, match=r"lock\.toml: damaged .*delete it"):
        Lockfile(tmp_path).records()


def test_size_and_digests_are_checked(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    md5 = "900150983cd24fb0d6963f7d28e17f72"
    assert check(path, ExpectedFile(), "x") == Checksum(3, sha256)
    # Only the stronger digest is checked.
    assert check(path, ExpectedFile(3, sha256, "0" * 32), "x").size == 3
    assert check(path, ExpectedFile(None, None, md5), "x").sha256 == sha256
    for wrong in (ExpectedFile(4), ExpectedFile(3, "0" * 64), ExpectedFile(3, None, "0" * 32)):
        with pytest.raises(ChecksumError, match="x: "):
            check(path, wrong, "x")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", False), ("0", False), ("no", False), ("False", False), ("1", True), ("yes", True)],
)
def test_offline_is_read_from_the_environment(monkeypatch, value, expected):
    monkeypatch.setenv("SOD_OFFLINE", value)
    assert offline() is expected


def test_sod_mirror_replaces_all_mirrors(monkeypatch, registry):
    entry = registry.weights["sdnet-duts"]
    assert mirrors("sdnet-duts", entry.mirrors) == entry.mirrors
    monkeypatch.setenv("SOD_MIRROR", "https://mirror.example.org/sod/")
    own = "https://mirror.example.org/sod/sdnet-duts"
    assert mirrors("sdnet-duts", entry.mirrors) == (own,)
    assert "run: sod fetch minet" in str(missing(registry.weights["minet"]))
    for wrong in ("http://x.org", "https://", "https://[x", "https://me:secret@x.org", "x.org"):
        monkeypatch.setenv("SOD_MIRROR", wrong)
        with pytest.raises(UsageError, match="SOD_MIRROR must be an https address") as caught:
            mirrors("sdnet-duts", ())
        assert "secret" not in str(caught.value)


def test_manual_download_steps_are_reported(registry):
    text = by_hand(registry.weights["fgplg"])
    assert "Baidu" in text
    assert text.endswith("then run: sod fetch fgplg --from FILE")
    assert "MINet_Res50.pth from https://drive" in str(missing(registry.weights["minet"]))
