"""``sod fetch --from`` with archives that would fill the disk or write elsewhere."""

import io
import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from tests.torture.corpus import encoded, photo
from tests.torture.trial import leftovers, refused, sod

GOOD = "ECSSD/images/1.png"
NAMES = [
    "../escaped", "ECSSD/../../escaped", "/tmp/sod-escaped", "\\escaped", "C:escaped", "..",
    "ECSSD/" + "x" * 300, "d/" * 3000 + "x", f"{GOOD}/inside", f"./{GOOD}",
]  # fmt: skip


def tarred(path, *members, form="w"):
    """Write a tar of the good picture and of ``members``, pairs of a header and its content."""
    data = encoded(photo(), "PNG")
    good = tarfile.TarInfo(GOOD)
    good.size = len(data)
    with tarfile.open(path, form) as bundle:
        bundle.addfile(good, io.BytesIO(data))
        for info, content in members:
            bundle.addfile(info, io.BytesIO(content))
    return path


def entry(name, kind=tarfile.REGTYPE, size=0, **more):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    for key, value in more.items():
        setattr(info, key, value)
    return info


def nothing_but(folder, *names):
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def is_refused(folder, archive):
    before = {path.name for path in folder.iterdir()}
    sets = folder / "sets"
    run = refused("fetch", "ECSSD", "--from", archive, "--dir", sets, code=4)
    assert not sets.exists() or list(sets.iterdir()) == []
    nothing_but(folder, *before | ({"sets"} if sets.exists() else set()))
    return run


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_member_with_a_name_that_leads_elsewhere_is_refused(name, tmp_path):
    is_refused(tmp_path, tarred(tmp_path / "x.tar", (entry(name, size=3), b"bad")))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(GOOD, encoded(photo(), "PNG"))
        packed.writestr(name, b"bad")
    is_refused(tmp_path, tmp_path / "x.zip")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"9"]
)
def test_links_and_devices_are_refused_with_what_would_go_through_them(kind, tmp_path):
    link = entry("ECSSD/door", kind, linkname=str(tmp_path), devmajor=1, devminor=5)
    through = entry("ECSSD/door/escaped", size=3)
    is_refused(tmp_path, tarred(tmp_path / "x.tar", (link, b""), (through, b"bad")))


def test_a_sparse_file_larger_than_the_disk_is_refused_before_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**20))
    sparse = entry("ECSSD/sparse", size=512, pax_headers={
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "ECSSD/sparse",
        "GNU.sparse.realsize": str(2**23),
    })  # fmt: skip
    archive = tarred(tmp_path / "x.tar", (sparse, b"0\n".ljust(512, b"\0")))
    assert archive.stat().st_size < 30_000
    run = is_refused(tmp_path, archive)
    assert "8,388,608 bytes are needed, 1,048,576 are free" in run.err, run


def test_an_archive_within_an_archive_stays_packed(tmp_path):
    inner = tarred(tmp_path / "inner.tar.gz", form="w:gz").read_bytes()
    (tmp_path / "inner.tar.gz").unlink()
    packed = entry("ECSSD/inner.tar.gz", size=len(inner))
    archive = tarred(tmp_path / "x.tar.xz", (packed, inner), form="w:xz")
    run = sod("fetch", "ECSSD", "--from", archive, "--dir", tmp_path / "sets")
    assert run.code == 0, run
    nothing_but(tmp_path / "sets" / "ECSSD", "images", "inner.tar.gz")
    assert not leftovers(tmp_path)
