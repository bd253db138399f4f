"""Untrusted archives: no file outside the folder, no partial results."""

import errno
import io
import os
import stat
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from sodcli.errors import MissingError
from sodcli.weights import archive as archive_module
from sodcli.weights.archive import Limits, unpack

GOOD = {"set/images/1.jpg": b"one", "set/images/2.jpg": b"two", "set/GT/1.png": b"mask"}


def zipped(path, members, mode=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if mode is not None:
                info.external_attr = mode << 16
            packed.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def tarred(path, members, kind="w:gz", **changes):
    with tarfile.open(path, kind) as bundle:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in changes.items():
                setattr(info, key, value)
            bundle.addfile(info, io.BytesIO(content))
    return path


PACKERS = [zipped, tarred]


def everything(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_a_valid_archive_is_unpacked_without_its_top_folder(tmp_path, kind):
    archive = tmp_path / "x"
    zipped(archive, GOOD) if kind == "zip" else tarred(archive, GOOD, kind)
    unpack(archive, tmp_path / "data" / "X")
    assert everything(tmp_path / "data") == [
        "X", "X/GT", "X/GT/1.png", "X/images", "X/images/1.jpg", "X/images/2.jpg",
    ]  # fmt: skip
    assert (tmp_path / "data/X/images/2.jpg").read_bytes() == b"two"


def test_an_archive_with_several_top_entries_is_unpacked_unchanged(tmp_path):
    unpack(zipped(tmp_path / "x", {"a/1": b"1", "b/": b"", "c": b"3"}), tmp_path / "X")
    assert everything(tmp_path / "X") == ["a", "a/1", "b", "c"]


@pytest.mark.parametrize("pack", PACKERS)
def test_a_folder_that_macos_adds_is_left_out(tmp_path, pack):
    added = {"__MACOSX/._set": b"", "__MACOSX/set/images/._1.jpg": b"icon"}
    unpack(pack(tmp_path / "x", GOOD | added), tmp_path / "X")
    assert everything(tmp_path / "X") == [
        "GT",
        "GT/1.png",
        "images",
        "images/1.jpg",
        "images/2.jpg",
    ]


def test_a_tar_that_ends_in_a_zip_file_is_unpacked_as_a_tar(tmp_path):
    inner = zipped(tmp_path / "inner.zip", {"inside": b"1"}).read_bytes()
    unpack(tarred(tmp_path / "x", GOOD | {"set/more.zip": inner}, "w"), tmp_path / "X")
    assert (tmp_path / "X" / "more.zip").read_bytes() == inner
    assert (tmp_path / "X" / "images" / "1.jpg").read_bytes() == b"one"


NAMES = [
    "../escaped", "a/../../escaped", "/escaped", "a/..", "..", "..\\escaped", "C:\\escaped",
    "C:escaped", "\\\\server\\share\\escaped", "a\\..\\..\\escaped",
]  # fmt: skip


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("name", NAMES)
def test_no_member_is_written_outside_the_folder(tmp_path, pack, name):
    room = tmp_path / "deep" / "room"
    archive = pack(tmp_path / "x", {"good": b"1", name: b"bad"})
    before = everything(tmp_path)
    with pytest.raises(MissingError, match="would leave the folder"):
        unpack(archive, room / "X")
    assert [p for p in everything(tmp_path) if p not in (*before, "deep", "deep/room")] == []
    assert not Path("/escaped").exists()


def test_absolute_member_names_are_refused(tmp_path):
    outside = tmp_path / "outside"
    for pack in PACKERS:
        with pytest.raises(MissingError, match="would leave the folder"):
            unpack(pack(tmp_path / "x", {str(outside): b"bad"}), tmp_path / "X")
    assert not outside.exists()


TAR_KINDS = [
    tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
]  # fmt: skip


@pytest.mark.parametrize("kind", TAR_KINDS)
def test_links_and_devices_of_a_tar_are_refused(tmp_path, kind):
    archive = tarred(tmp_path / "x", {"door": b""}, type=kind, linkname=str(tmp_path))
    with pytest.raises(MissingError, match="'door' is a link or a device"):
        unpack(archive, tmp_path / "X")
    assert everything(tmp_path) == ["x"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_of_a_zip_are_refused(tmp_path, kind):
    archive = zipped(tmp_path / "x", {"door": str(tmp_path)}, mode=kind | 0o777)
    with pytest.raises(MissingError, match="'door' is a link or a device"):
        unpack(archive, tmp_path / "X")
    assert everything(tmp_path) == ["x"]


@pytest.mark.parametrize("pack", PACKERS)
def test_a_decompression_bomb_is_stopped(tmp_path, pack):
    archive = pack(tmp_path / "x", {"zeros": bytes(5_000_000)})
    assert archive.stat().st_size < 50_000
    with pytest.raises(MissingError, match="holds more than 10 files or 1,000,000 bytes"):
        unpack(archive, tmp_path / "X", Limits(files=10, size=1_000_000))
    archive = pack(tmp_path / "x", {str(n): b"" for n in range(11)})
    with pytest.raises(MissingError, match="holds more than 10 files"):
        unpack(archive, tmp_path / "X", Limits(files=10, size=1_000_000))
    assert everything(tmp_path) == ["x"]


def test_a_zip_with_wrong_sizes_is_refused(tmp_path):
    archive = zipped(tmp_path / "x", {"zeros": bytes(5_000_000)})
    packed = archive.read_bytes().replace((5_000_000).to_bytes(4, "little"), b"\x10\0\0\0")
    archive.write_bytes(packed)
    with pytest.raises(MissingError, match="damaged archive"):
        unpack(archive, tmp_path / "X", Limits(size=1_000_000))
    assert everything(tmp_path) == ["x"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("pack", PACKERS)
def test_two_members_with_the_same_name_are_refused(tmp_path, pack):
    archive = pack(tmp_path / "x", {"a": b"1", "./a": b"2"})
    with pytest.raises(MissingError, match="comes twice"):
        unpack(archive, tmp_path / "X")


@pytest.mark.parametrize("pack", PACKERS)
def test_a_file_where_a_folder_should_be_is_refused(tmp_path, pack):
    archive = pack(tmp_path / "x", {"a": b"1", "a/b": b"2"})
    with pytest.raises(OSError, match="a"):
        unpack(archive, tmp_path / "X")
    assert everything(tmp_path) == ["x"]


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = zipped(tmp_path / "x", {"a": b"secret"})
    packed = bytearray(archive.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(mark) + place] |= 1
    archive.write_bytes(packed)
    with pytest.raises(MissingError, match="'a' is encrypted"):
        unpack(archive, tmp_path / "X")


def zstandard(path, members):
    """Pack a tar with the checksum that the program zstd adds and Python leaves out."""
    if sys.version_info < (3, 14):
        pytest.skip("Python before 3.14 has no Zstandard")
    from compression import zstd

    checksum = {zstd.CompressionParameter.checksum_flag: 1}
    packed = zstd.compress(tarred(path, members, "w").read_bytes(), options=checksum)
    path.write_bytes(packed)
    return path


@pytest.mark.parametrize("pack", [*PACKERS, zstandard])
def test_a_damaged_archive_leaves_nothing(tmp_path, pack):
    noise = {"a": os.urandom(100_000), "b": os.urandom(100_000)}
    whole = pack(tmp_path / "x", noise).read_bytes()
    damaged = bytearray(whole)
    damaged[60_000:60_100] = bytes(100)
    for content in (whole[:150_000], bytes(damaged)):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(MissingError, match=r"damaged archive|neither a zip nor a tar"):
            unpack(tmp_path / "x", tmp_path / "X")
        assert everything(tmp_path) == ["x"]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [-128, 1 << 50, 1 << 80])
def test_a_tar_with_an_impossible_size_is_refused(tmp_path, kind, size):
    info = tarfile.TarInfo("a")
    info.type, info.size = kind, size
    (tmp_path / "x").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
    with pytest.raises(MissingError):
        unpack(tmp_path / "x", tmp_path / "X")
    assert everything(tmp_path) == ["x"]


def test_a_failed_write_names_the_folder(tmp_path, monkeypatch):
    """A disk quota shows only while writing, and the system's error has no file name."""

    def exceeded(*_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(archive_module, "_copy", exceeded)
    with pytest.raises(OSError, match="quota exceeded") as caught:
        unpack(zipped(tmp_path / "x", GOOD), tmp_path / "X")
    assert caught.value.filename == str(tmp_path / "X")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x1f\x8b\x08"])
def test_files_that_are_not_archives_are_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(MissingError, match=r"neither a zip nor a tar file|damaged archive"):
        unpack(tmp_path / "x", tmp_path / "X")
    assert everything(tmp_path) == ["x"]


def test_existing_files_are_not_changed(tmp_path):
    (tmp_path / "X").mkdir()
    (tmp_path / "X" / "mine").write_text("1")
    with pytest.raises(OSError):  # noqa: PT011 - the message is the system's
        unpack(zipped(tmp_path / "x", GOOD), tmp_path / "X")
    assert everything(tmp_path) == ["X", "X/mine", "x"]
