"""Damaged pictures and ground truth in eval, test, train and pseudo-label."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.draw_kit import draw_photo
from tests.sparse_film import draw_film
from tests.torture import LONG
from tests.torture.corpus import encoded, photo, pictures
from tests.torture.trial import all_whole, leftovers, quick, sod
from tests.training_kit import QUICK, draw_pairs

OFTEN = (
    "empty.jpg", "zeros.png", "wrong-sum.png", "no-size.png", "bomb-20000.png", "bomb.jpg",
    "zeroed-middle.png", "alpha16.png", "thin-1x300.png", "text.jpg", "bomb-text.png",
)  # fmt: skip


def truth():
    return encoded(Image.fromarray(draw_photo(size_hw=(40, 48))[1].astype(np.uint8) * 255), "PNG")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A set with each case once as picture and once as ground truth, and maps of the cases."""
    monkeypatch.chdir(tmp_path)
    for name in ("set/images", "set/masks", "maps"):
        Path(name).mkdir(parents=True)
    for number, case in enumerate(pictures()):
        suffix = Path(case.name).suffix
        if suffix in (".ppm", ".gif", ".avif") or (case.name not in OFTEN and not LONG):
            continue
        Path(f"set/images/m{number}.jpg").write_bytes(encoded(photo(), "JPEG"))
        Path(f"set/masks/m{number}{suffix}").write_bytes(case.data)
        Path(f"maps/m{number}.png").write_bytes(truth())
        Path(f"set/images/p{number}{suffix}").write_bytes(case.data)
        Path(f"set/masks/p{number}.png").write_bytes(truth())
        Path(f"maps/p{number}{suffix}").write_bytes(case.data)
    return tmp_path


def test_eval_counts_and_names_what_is_damaged(root, capfd):
    reports = ("-o", "x.json", "-o", "x.csv", "-o", "x.html")
    run = sod("eval", "maps", "set", "--workers", "1", *reports)
    assert run.code == 3, run
    assert "is damaged or no picture" in run.err or "and no mask" in run.err  # the first in order
    assert "libpng" not in capfd.readouterr().err


def test_sod_test_processes_the_others(root, capfd):
    run = sod("test", *quick("--data", "set", "-o", "out"))
    assert run.code == 3, run
    assert len(run.errors) == len(set(run.errors))
    assert all_whole(root / "out") > 5
    assert not leftovers(root)
    assert "libpng" not in capfd.readouterr().err


@pytest.mark.slow
def test_train_leaves_out_damaged_pairs_up_to_a_share(root):
    Path("quick.toml").write_text(QUICK)
    words = ("-m", "sdnet", "--epochs", "1", "--batch", "4", "--size", "32")
    words += ("--config", "quick.toml")
    run = sod("train", *words, "--data", "set", "-o", "run")
    assert run.code == 1, run
    assert len(run.errors) == 1, run
    draw_pairs(root / "good", count=16)
    (root / "good" / "images" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    run = sod("train", *words, "--data", "good", "-o", "run2")
    assert run.code == 0, run
    assert "3.png" in run.err
    assert all_whole(root / "run2") >= 4


def test_pseudo_label_names_the_frame_that_is_damaged(tmp_path):
    film = tmp_path / "data" / "toys" / "disc"
    draw_film(film / "images", film / "GT", frames=11)
    (film / "images" / "00002.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    run = sod("pseudo-label", "--data", tmp_path / "data", "--warp-only", "-o", tmp_path / "out")
    assert run.code in (1, 3), run
    assert any("00002.jpg" in line for line in run.errors), run
    assert all_whole(tmp_path / "out") >= 1
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", ["=1+1", "<i>x", "[red]x", "\x1b[31mx"])
def test_method_names_are_escaped_in_every_report(tmp_path, name, monkeypatch):
    openpyxl = pytest.importorskip("openpyxl")
    monkeypatch.chdir(tmp_path)
    for folder in ("gt", f"maps{name}"):
        Path(folder).mkdir()
        Path(folder, "1.png").write_bytes(truth())
    reports = ("-o", "x.html", "-o", "x.xlsx", "-o", "x.csv", "-o", "x.json")
    run = sod(
        "eval", "--gt", "gt", f"{name}=maps{name}" if "=" not in name else f"maps{name}/", *reports
    )
    assert run.code == 0, run
    assert "\x1b" not in run.out
    assert name not in Path("x.html").read_text() if name.startswith("<") else True
    book = openpyxl.load_workbook(io.BytesIO(Path("x.xlsx").read_bytes()))
    assert all(cell.data_type != "f" for sheet in book for row in sheet for cell in row)
