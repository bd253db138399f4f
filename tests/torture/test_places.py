"""Paths that are not files, cyclic folders and full disks, with every command."""

import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.draw_kit import draw_photo
from tests.torture import LONG
from tests.torture.corpus import encoded, photo
from tests.torture.disks import full_disk, read_only
from tests.torture.films import small
from tests.torture.trial import all_whole, leftovers, quick, refused, sod
from tests.training_kit import draw_pairs

posix = pytest.mark.skipif(os.name != "posix", reason="FIFOs and devices are a thing of POSIX")
FEW = ("picture", "frames", "reparam for others", "json", "set")
LOOKS = ("fifo.png", "zero.png", "loop.png", "folder", "/dev/null", "~nobodyatall/x", "y" * 300)
READERS = {
    "infer": ("infer", "{0}"),
    "background": ("infer", "ok.png", "-t", "{0}"),
    "weights": ("infer", "ok.png", "-w", "{0}"),
    "reparam": ("reparam", "{0}", "-o", "out.safetensors"),
    "export": ("export", "{0}", "-o", "out.onnx"),
    "hand in": ("fetch", "stdnet-davis", "--from", "{0}"),
    "hand in a set": ("fetch", "ECSSD", "--from", "{0}"),
    "eval maps": ("eval", "{0}", "pairs"),
    "eval truth": ("eval", "pairs/masks", "{0}"),
    "test": ("test", "--data", "{0}", "-o", "out"),
    "train data": ("train", "-m", "sdnet", "--data", "{0}", "-o", "out"),
    "train config": ("train", "-m", "sdnet", "--data", "pairs", "--config", "{0}", "-o", "out"),
    "train init": ("train", "-m", "sdnet", "--data", "pairs", "--init", "{0}", "-o", "out"),
    "train resume": ("train", "--resume", "-o", "{0}"),
    "pseudo-label": ("pseudo-label", "--data", "{0}", "--warp-only", "-o", "out"),
}
TOML = (
    b"", b"\xff\xfe", b"lr = ", b"lr = 'much'\n", b"[lr]\n", b"unknown = 1\n", b"epochs = 1e400\n",
    b"size = -1\n", b"scales = []\n", b"data = 7\n", b"lr = nan\n", b"[[augment]]\n",
    b"batch = true\n", b"a" * 10**6, b"x = " + b"[" * 5000, b"init = '\\u0000'\n",
    b"model = 'sdnet'\nmodel = 'minet'\n",
    b"schedule = { name = '__import__' }\n", b"loss = 'os'\n", b"loss = '../../x'\n",
)  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ok.png").write_bytes(encoded(photo(), "PNG"))
    draw_pairs(Path("pairs"), count=4, side=48)
    Path("folder").mkdir()
    return tmp_path


@posix
@pytest.mark.parametrize("reader", READERS)
def test_paths_that_are_not_files_are_refused_at_once(here, reader):
    os.mkfifo("fifo.png")
    Path("zero.png").symlink_to("/dev/zero")
    Path("loop.png").symlink_to("loop.png")
    before = sorted(here.rglob("*"))
    for look in LOOKS:
        run = sod(*(word.format(look) for word in READERS[reader]))
        assert run.code in (1, 2, 4), run
        assert len(run.errors) == 1, run
    assert sorted(here.rglob("*")) == before


@posix
def test_cycles_of_links_end(here):
    Path("pairs/images/up").symlink_to("..")
    Path("pairs/round").symlink_to(here / "pairs")
    Path("pairs/self").symlink_to("self")
    Path("folder/there").symlink_to(here / "folder2")
    Path("folder2").mkdir()
    Path("folder2/back").symlink_to(here / "folder")
    run = sod("infer", "pairs", "-r", *quick("-t", "map", "-o", "maps/"))
    assert run.code == 0, run
    assert len(run.out.splitlines()) == 8
    for words in (("eval", "pairs/masks", "pairs"), ("test", *quick("--data", "pairs", "-o", "t"))):
        run = sod(*words)
        assert run.code == 0, run
    refused("test", *quick("--data", "folder", "-o", "t"), code=4)


@pytest.mark.parametrize("text", TOML, ids=lambda text: repr(text[:20]))
def test_files_that_are_not_settings_are_refused(here, text):
    Path("bad.toml").write_bytes(text)
    words = ("-m", "sdnet", "--epochs", "1", "--size", "32", "--batch", "2", "-o", "out")
    if not text:
        words += ("--data", "nowhere")
    run = sod("train", *words, "--config", "bad.toml")
    assert run.code in (2, 4), run
    assert len(run.errors) == 1, run
    assert not Path("out").exists()


def commands(place: Path) -> dict[str, tuple[object, ...]]:
    """Return each command once, with ``place`` as its output."""
    base = ("--epochs", "1", "--batch", "2", "--size", "32")
    frames = f"{place}/frames{os.sep}"
    return {
        "picture": ("infer", "ok.png", *quick("-o", place / "x.png")),
        "film": ("infer", "film.mp4", *quick("-t", "green", "-o", place / "x.mp4")),
        "frames": ("infer", "film.mp4", *quick("-t", "rgba", "-o", frames)),
        "reparam": ("reparam", "sdnet", "-o", place / "x.safetensors"),
        "reparam for others": ("reparam", "sdnet", "-o", place / "x.pth"),
        "test": ("test", *quick("--data", "pairs", "-o", place / "t")),
        "json": ("eval", "pairs/masks", "pairs", "-o", place / "x.json"),
        "csv": ("eval", "pairs/masks", "pairs", "-o", place / "x.csv"),
        "xlsx": ("eval", "pairs/masks", "pairs", "-o", place / "x.xlsx"),
        "html": ("eval", "pairs/masks", "pairs", "-o", place / "x.html"),
        "train": ("train", "-m", "sdnet", "--data", "pairs", "-o", place / "run", *base),
        "set": ("fetch", "ECSSD", "--from", "set.zip", "--dir", place / "sets"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("disk", [full_disk, read_only])
def test_a_full_or_read_only_disk_is_an_error(here, disk, capfd):
    small(here / "film.mp4")
    with zipfile.ZipFile("set.zip", "w") as packed:
        packed.writestr("ECSSD/images/1.jpg", encoded(photo(), "JPEG"))
    with disk(here / "disk") as place:
        for name, words in commands(place).items():
            if disk is read_only and name not in FEW and not LONG:
                continue
            run = sod(*words)
            assert run.code == (4 if name == "set" else 1), (name, run)
            assert len(run.errors) == 1, (name, run)
            assert not leftovers(place), name
            assert all_whole(place) == len(list(place.glob("filler"))), name
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_on_a_disk_that_fills_up_written_files_are_complete(here):
    """Files that fit are written, and they are complete."""
    for number in range(6):
        picture = Image.fromarray(draw_photo(seed=number, size_hw=(80, 80))[0])
        picture.save(f"folder/{number}.png")
    with full_disk(here / "disk") as place:
        (place / "filler").unlink()
        run = sod("infer", "folder", *quick("-t", "map", "-o", f"{place}{os.sep}"))
        made = len(run.out.splitlines())
        assert (run.code, len(run.errors)) == (1, 1), run  # a full disk ends the run
        assert all_whole(place) == made
        assert not leftovers(place)
