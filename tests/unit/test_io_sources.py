import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sodcli.errors import SourceError
from sodcli.io.pictures.encode import encode_picture
from sodcli.io.sources import Input, find_inputs, read_input

links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def paths(*sources, recursive=False):
    return [item.path.as_posix() for item in find_inputs(sources, recursive=recursive)]


def test_a_folder_gives_its_pictures_and_films_in_natural_order(here):
    touch("in/p10.jpg", "in/p2.JPG", "in/P1.png", "in/notes.txt", "in/sub/deep.jpg", "in/film.mp4")
    touch("in/.hidden.jpg", "in/.sod-abc.png", "in/.git/x.png", "in/x.TIFF", "in/y.gif", "in/noext")
    flat = ["in/film.mp4", "in/P1.png", "in/p2.JPG", "in/p10.jpg", "in/x.TIFF", "in/y.gif"]
    assert paths("in") == flat
    assert paths("in/", recursive=True) == [
        *flat[:4], "in/sub/deep.jpg", *flat[4:],
    ]  # fmt: skip
    assert {item.root for item in find_inputs(["in"], recursive=True)} == {Path("in")}


def test_odd_digits_in_names_can_be_sorted(here):
    touch("in/a².jpg", "in/a٣.jpg", "in/a3.jpg", "in/3.jpg", "in/b.jpg", f"in/{'9' * 200}.jpg")
    assert len(paths("in")) == 6
    assert paths("in")[0] == "in/3.jpg"


def test_a_folder_without_pictures_is_an_error(here):
    touch("in/notes.txt", "in/sub/a.jpg")
    with pytest.raises(SourceError, match=r"in this folder; its sub-folders have .* -r takes$"):
        find_inputs(["in"], recursive=False)
    Path("in/sub/a.jpg").unlink()
    for recursive in (True, False):
        with pytest.raises(SourceError, match=r"^in: no pictures or films in this folder$"):
            find_inputs(["in"], recursive=recursive)


def test_photos_of_sub_folders_are_mentioned(here):
    touch("in/a.jpg", "in/notes/b.txt", "in/cut/a_rgba.png", "in/.hidden/c.jpg")
    told = []
    find_inputs(["in"], recursive=False, out="in/cut", warn=told.append)
    assert told == []
    touch("in/notes/2/d.jpg")
    find_inputs(["in"], recursive=True, out="in/cut", warn=told.append)
    assert told == []
    assert len(find_inputs(["in"], recursive=False, out="in/cut", warn=told.append)) == 1
    assert told == ["in: its sub-folders have pictures or films, too, which -r takes"]


@links
def test_a_cycle_of_links_ends(here):
    touch("in/a.jpg", "in/sub/b.jpg")
    Path("in/sub/up").symlink_to("..")
    Path("self").symlink_to("self")
    assert paths("in", recursive=True) == ["in/a.jpg", "in/sub/b.jpg"]
    Path("in/sub/again").symlink_to("../../in")
    assert paths("in/**/*.jpg") == ["in/a.jpg", "in/sub/b.jpg"]
    assert paths("self", "self/x.jpg") == ["self", "self/x.jpg"]


@links
def test_links_to_files_are_pictures_of_their_own(here):
    touch("in/a.jpg")
    Path("in/b.jpg").symlink_to("a.jpg")
    Path("linked").symlink_to("in")
    assert paths("in") == ["in/a.jpg", "in/b.jpg"]
    assert paths("linked") == ["linked/a.jpg", "linked/b.jpg"]


@pytest.mark.skipif(
    os.name == "nt" or getattr(os, "geteuid", lambda: 0)() == 0, reason="this user may list all"
)
def test_a_folder_without_read_permission_is_an_error(here):
    Path("in").mkdir(mode=0)
    with pytest.raises(SourceError, match=r"^in: permission denied"):
        find_inputs(["in"], recursive=False)
    Path("in").chmod(0o700)


def test_a_quoted_glob_is_expanded(here):
    touch("top.txt", "in/.git/x.jpg", "in/.hidden.jpg")
    touch("in/a.jpg", "in/b10.jpg", "in/b9.jpg", "in/sub/c.jpg", "in/d.png")
    Path("in/folder.jpg").mkdir()
    assert paths("in/*.jpg") == ["in/a.jpg", "in/b9.jpg", "in/b10.jpg"]
    assert paths("in/b[19]*") == ["in/b9.jpg", "in/b10.jpg"]
    assert paths("in/**/c.*") == ["in/sub/c.jpg"]
    everything = ["in/a.jpg", "in/b9.jpg", "in/b10.jpg", "in/d.png", "in/sub/c.jpg"]
    assert paths("in/**") == paths("in/**/**/*") == everything
    assert paths("**") == [*everything, "top.txt"]
    assert paths("in/**.png", "*/**/*.png") == ["in/d.png"]
    assert paths(f"{here}/in/?.png") == [f"{here.as_posix()}/in/d.png"]
    assert find_inputs(["in/*.jpg"], recursive=False)[0].root is None


@pytest.mark.parametrize("pattern", ["in/*.webp", "nowhere/**", "x?.jpg", "[ab].png"])
def test_a_glob_without_a_match_is_an_error(here, pattern):
    touch("in/a.jpg")
    with pytest.raises(SourceError, match="no file matches"):
        find_inputs([pattern], recursive=False)


def test_a_file_that_looks_like_a_glob_is_taken_literally(here):
    touch("a[1].jpg", "a1.jpg", "set[2]/x.jpg")
    assert paths("a[1].jpg") == ["a[1].jpg"]
    assert paths("set[2]") == ["set[2]/x.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_unusual_names_are_accepted(here):
    odd = [
        "-dash.jpg",
        "new\nline.jpg",
        "猫 🐈.jpg",
        "sp ace'quote\".jpg",
        os.fsdecode(b"\xe9.jpg"),
    ]
    touch(*odd, *(f"in/{name}" for name in odd))
    assert paths(*odd) == odd
    assert sorted(paths("in")) == sorted(f"in/{name}" for name in odd)


def test_a_missing_file_stays_in_the_list(here):
    touch("a.jpg")
    assert paths("no.jpg", "a.jpg", "n" * 300) == ["no.jpg", "a.jpg", "n" * 300]


def test_each_input_is_listed_once_in_the_order_given(here):
    touch("in/a.jpg", "in/b.jpg")
    found = find_inputs(
        ["in/b.jpg", "-", "./in", "in/a.jpg", "-", "in/../in/*.jpg"], recursive=False
    )
    assert found == [
        Input(Path("in/b.jpg")),
        Input(None),
        Input(Path("in/a.jpg"), Path("in")),
    ]


def test_an_empty_name_is_not_this_folder(here):
    touch("a.jpg")
    with pytest.raises(SourceError, match="empty name"):
        find_inputs([""], recursive=False)
    assert paths(".") == ["a.jpg"]


def test_an_input_is_read_from_where_it_is(here, monkeypatch):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    data = encode_picture(rgb, ".png")
    Path("a.png").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    for item, name in ((Input(Path("a.png")), "a"), (Input(None), "stdin")):
        frame = read_input(item, max_pixels=30)
        assert frame.name == name
        assert np.array_equal(frame.rgb, rgb)
    with pytest.raises(SourceError, match="--max-pixels"):
        read_input(Input(Path("a.png")), max_pixels=29)


def test_results_beside_their_inputs_are_not_inputs(here):
    touch("in/p.jpg", "in/p_view.png", "in/p_green.jpg", "in/film.mp4", "in/film_blur.mp4")
    touch("in/sky_blur.jpg", "in/q.txt", "in/p_green.bmp")
    grey = np.zeros((4, 4), np.uint8)
    for name in ("p_map.png", "p_map_rgba.png", "p.jpg_green.jpg", "p_my_beach.webp", "q_rgba.png"):
        made = encode_picture(grey, Path(name).suffix, software="sodcli 0.2.0, settings 1")
        Path("in", name).write_bytes(made)
    Path("in/p_by_hand.png").write_bytes(encode_picture(grey, ".png", software="another"))
    told = []
    kept = ["film.mp4", "p.jpg", "p_by_hand.png", "p_green.jpg", "p_view.png", "q_rgba.png"]
    kept = [f"in/{name}" for name in [*kept, "sky_blur.jpg"]]
    for source in ("in", "in/*[!t]"):
        found = find_inputs([source], recursive=False, warn=told.append)
        assert [item.path.as_posix() for item in found] == kept
    first = Path("in/film_blur.mp4")
    assert told == [f"left out what sod made beside its sources: {first} (6 in all)"] * 2
    assert paths("in/p_map.png", "in/*_blur.mp4") == ["in/p_map.png", "in/film_blur.mp4"]


@pytest.mark.parametrize("out", ["in/cut", "in/cut/", "./in/../in/cut"])
def test_the_folder_of_the_results_is_not_walked(here, out):
    touch("in/a.jpg", "in/sub/b.jpg", "in/cut/a_rgba.png", "in/cut/sub/b_rgba.png")
    found = find_inputs(["in"], recursive=True, out=out)
    assert [item.path.as_posix() for item in found] == ["in/a.jpg", "in/sub/b.jpg"]
    assert len(find_inputs(["in"], recursive=True, out="in")) == 4
    assert len(find_inputs(["in/cut"], recursive=True, out=out)) == 2


def test_pictures_that_cannot_be_read_are_reported(here):
    touch("shop/a.jpg", "shop/b.JXL", "shop/c.jxl", "shop/d.cr3", "shop/._e.jxl", "shop/f.txt")
    told = []
    assert len(find_inputs(["shop"], recursive=False, warn=told.append)) == 1
    assert told == [
        "3 files in shop are pictures that sod cannot read: .cr3 (1), .jxl (2); "
        "convert to JPEG or PNG first"
    ]
    touch("phone/a.dng")
    with pytest.raises(SourceError, match=r"^1 file in phone is a picture that sod cannot read"):
        find_inputs(["phone"], recursive=False)
