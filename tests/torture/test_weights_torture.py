"""Damaged and hostile weights files and archives, with the commands that read them."""

import functools
import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from sodcli.errors import SodError
from sodcli.registry import default_registry
from sodcli.weights.cache import stored
from sodcli.weights.read import read_weights
from tests.torture import LONG
from tests.torture.trial import quick, refused, sod


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def pickled(content) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def safetensors(header: object, body: bytes = bytes(64), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def tensor(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@functools.cache
def hostile(owned: Path) -> dict[str, bytes]:
    """Return files that try to run code, have wrong lengths, or decompress to gigabytes.

    Code that runs would create the file ``owned``."""
    touch = f"open({str(owned)!r}, 'w').close()"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("archive/data.pkl", bytes(3 * 10**7))
    slip = io.BytesIO()
    with zipfile.ZipFile(slip, "w") as packed:
        packed.writestr(f"../../../../../../../..{owned}", b"bad")
        packed.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    nested = b"\x80\x02" + b"]" * 20_000 + b"."
    return {
        "system": pickled(Evil(os.system, f"touch {owned}")),
        "eval": pickled({"state_dict": Evil(eval, touch)}),
        "exec in a tensor's place": pickled({"a": torch.zeros(1), "b": Evil(exec, touch)}),
        "old style": pickle.dumps(Evil(os.system, f"touch {owned}"), protocol=2),
        "old style eval": b"c__builtin__\neval\n(S" + repr(touch).encode() + b"\ntR.",
        "global in new clothes": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        "import": b"cos\nsystem\n(S'touch " + str(owned).encode() + b"'\ntR.",
        "bomb": bomb.getvalue(),
        "slip": slip.getvalue(),
        "nested": nested,
        "no state": pickled([1, 2]),
        "empty zip": b"PK\x05\x06" + bytes(18),
        "names": pickled({1: torch.zeros(1)}),
        "objects": pickled({"a": "text"}),
        "header too long": safetensors({}, length=2**62),
        "header of gigabytes": safetensors({}, length=2**33),
        "header no JSON": safetensors(b"{" + b"[" * 50),
        "header deep": safetensors(b'{"a":' * 5000 + b"1" + b"}" * 5000),
        "overlap": safetensors({"a": tensor(), "b": tensor()}),
        "beyond": safetensors({"a": tensor(offsets=(0, 10**9))}),
        "huge shape": safetensors({"a": tensor(shape=(2**40, 2**40))}),
        "negative": safetensors({"a": tensor(shape=(-4,))}),
        "unknown type": safetensors({"a": tensor(dtype="PICKLE")}),
        "metadata": safetensors({"__metadata__": {"model": 7}, "a": tensor()}, bytes(16)),
        "metadata of another": safetensors(
            {"__metadata__": {"model": "\x1b[31m[red]", "form": "x"}, "a": tensor()}, bytes(16)
        ),
        "strange args": safetensors(
            {"__metadata__": {"model": "sdnet", "form": "training", "args": "__import__('os')"},
             "a": tensor()}, bytes(16)
        ),
        "not finite": safetensors({"a": tensor()}, b"\xff" * 16),
        "html": b"<!DOCTYPE html><html>sign in</html>",
        "json": b'{"model": 1}',
        "zeros": bytes(10_000),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile(Path("owned")))
def test_hostile_weights_are_refused_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    path.write_bytes(hostile(Path("owned"))[name])
    refused("reparam", path, "-m", "sdnet", "-o", "out.pth")
    refused("fetch", "stdnet-davis", "--from", path, code=4)
    if LONG:
        refused("reparam", path, "-o", "out.safetensors")
        refused("infer", "nothing.png", *quick("-w", path))
    assert [p.name for p in tmp_path.iterdir()] == ["evil.pth"]


def cuts(size: int, dense: int, steps: int) -> list[int]:
    """Return lengths to truncate a file to: many in its header, and ``steps`` in all of it."""
    return sorted({*range(0, min(size, dense), 10), *range(0, size, size // steps), size - 1})


@pytest.mark.parametrize("form", ["safetensors", "pth", "old pth"])
def test_truncated_weights_are_refused(form, tmp_path):
    whole = tmp_path / f"whole.{form.split()[-1]}"
    if form == "safetensors":
        shutil.copyfile(stored(default_registry().weights["sdnet"]), whole)
    else:
        state = load_file(stored(default_registry().weights["sdnet"]))
        torch.save(
            dict(list(state.items())[:40]), whole, _use_new_zipfile_serialization=form == "pth"
        )
    data = whole.read_bytes()
    part = tmp_path / "part"
    for end in cuts(len(data), 20_000 if LONG else 300, 300 if LONG else 20):
        part.write_bytes(data[:end])
        with pytest.raises(SodError, match=r"part: (empty|damaged|refused|not|no state|the state)"):
            read_weights(part)
    refused("reparam", part, "-o", tmp_path / "out.safetensors")


def test_undamaged_weights_are_read(tmp_path):
    tensors = {"a": torch.arange(4.0)}
    (tmp_path / "x").write_bytes(save(tensors, {"model": "sdnet"}))
    assert torch.equal(read_weights(tmp_path / "x").state["a"], tensors["a"])


def archives(owned: str) -> dict[str, bytes]:
    """Return archives that try to write elsewhere, decompress to gigabytes, or are malformed."""
    made: dict[str, bytes] = {}
    for name in ("../owned", "{owned}", "a/../../owned", "..\\owned", "C:\\owned"):
        place = name.format(owned=owned)
        made[f"tar {name}"] = _tar((tarfile.TarInfo(place), b"bad"))
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr(zipfile.ZipInfo(place), b"bad")
        made[f"zip {name}"] = file.getvalue()
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        link = tarfile.TarInfo("link")
        link.type, link.linkname = kind, "/etc/passwd"
        made[f"tar of kind {kind!r}"] = _tar((link, b""))
    plain = _tar((tarfile.TarInfo("ECSSD/a.txt"), b"all of it" * 500))
    made["tar cut"] = plain[:700]
    made["no archive"] = b"ECSSD"
    return made


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as bundle:
        for info, data in members:
            info.size = len(data)
            bundle.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize("name", archives("owned"))
def test_hostile_archives_write_no_files(name, tmp_path):
    inner = tmp_path / "a" / "b" / "sets"
    inner.mkdir(parents=True)
    archive = tmp_path / "set.bin"
    archive.write_bytes(archives(str(tmp_path / "owned"))[name])
    refused("fetch", "ECSSD", "--from", archive, "--dir", inner, code=4)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "set.bin", "sets"]


def test_the_leftover_folder_of_a_killed_run_is_removed(tmp_path):
    """The leftovers of a killed run do not stop the next run, and are removed."""
    (tmp_path / "sets" / ".sod-unpack-x").mkdir(parents=True)
    archive = tmp_path / "set.tar"
    archive.write_bytes(_tar((tarfile.TarInfo("ECSSD/a.txt"), b"all")))
    run = sod("fetch", "ECSSD", "--from", archive, "--dir", tmp_path / "sets")
    assert run.code == 0, run
    assert [p.name for p in (tmp_path / "sets").iterdir()] == ["ECSSD"]
