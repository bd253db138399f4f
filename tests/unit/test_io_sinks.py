import errno
import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sodcli.errors import SinkError, UsageError
from sodcli.imaging.compose import output_types
from sodcli.io.pictures.encode import encode_picture
from sodcli.io.settings import InferSettings, Style
from sodcli.io.sinks import Job, plan_outputs, save_picture
from sodcli.io.sources import Input, find_inputs

RGB = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def files(*names):
    return [Input(None if name == "-" else Path(name)) for name in names]


def style(tag):
    return Style(tag if tag in output_types() else "picture", tag)


def targets(inputs, out=None, tag="rgba", **options):
    jobs = plan_outputs(inputs, InferSettings(styles=(style(tag),), out=out, **options))
    assert [job.input for job in jobs] == list(inputs)
    return [job.target and job.target.as_posix() for job in jobs]


def test_the_result_of_a_picture_is_beside_it():
    assert targets(files("photo.jpg", "deep/er/p.q.webp")) == [
        "photo_rgba.png",
        "deep/er/p.q_rgba.png",
    ]
    assert targets(files("photo.jpg"), tag="beach") == ["photo_beach.png"]


def test_a_folder_is_mirrored_beside_itself(here):
    touch("in/a.jpg", "in/sub/b.jpg")
    inputs = find_inputs(["in/"], recursive=True)
    assert targets(inputs) == ["in_rgba/a_rgba.png", "in_rgba/sub/b_rgba.png"]
    assert targets(inputs, "out") == ["out/a_rgba.png", "out/sub/b_rgba.png"]


def test_the_current_and_the_parent_folder_are_named_after_their_real_names(here, monkeypatch):
    touch("box/in/a.jpg")
    monkeypatch.chdir("box/in")
    for root in (".", "../in/."):
        (target,) = targets(find_inputs([root], recursive=False))
        assert (here / "box/in" / target).resolve() == here / "box/in_rgba/a_rgba.png"
    monkeypatch.chdir("..")
    touch("in/deep/x.txt")
    monkeypatch.chdir("in/deep")
    (target,) = targets(find_inputs([".."], recursive=False))
    assert Path(target) == here / "box/in_rgba/a_rgba.png"
    assert targets([Input(Path("/a.jpg"), Path("/"))]) == ["/_rgba/a_rgba.png"]


@pytest.mark.parametrize("out", ["out/", "exists", f"exists{os.sep}"])
def test_a_folder_to_write_to(out):
    Path("exists").mkdir()
    assert targets(files("x/photo.jpg"), out) == [f"{out.rstrip('/')}/photo_rgba.png"]
    assert targets(files("-"), out) == [f"{out.rstrip('/')}/stdin_rgba.png"]


def test_several_inputs_make_any_plain_name_a_folder():
    assert targets(files("a.jpg", "b.jpg"), "out") == ["out/a_rgba.png", "out/b_rgba.png"]


@pytest.mark.parametrize("out", ["x.png", "y/x.WEBP", "x.avif", "x.tiff"])
def test_a_file_to_write_to(out):
    assert targets(files("photo.jpg"), out) == [out]
    assert targets(files("-"), out) == [out]


@pytest.mark.parametrize(("names", "out"), [(["-"], None), (["-"], "-"), (["photo.jpg"], "-")])
def test_standard_output(names, out):
    assert targets(files(*names), out) == [None]


@pytest.mark.parametrize(
    ("names", "out", "message"),
    [
        (["a.jpg"], "x.jpg", "cannot write transparency to x.jpg; use .png, .webp, .avif or .tiff"),
        (["a.jpg"], "x.xyz", "x.xyz: no picture format has this suffix; use one of .png, .jpg"),
        (["a.jpg"], "out", "out: no picture format"),
        (["a.jpg", "b.jpg"], "x.png", "x.png takes one result, not 2; use -o FOLDER/"),
        (["a.jpg", "b.jpg"], "-", "standard output takes one result, not 2"),
        (["a.jpg", "-"], None, "standard output takes one result, not 2"),
    ],
)
def test_impossible_outputs_are_refused_before_any_work(names, out, message):
    with pytest.raises(UsageError) as caught:
        targets(files(*names), out)
    assert str(caught.value).startswith(message)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
@pytest.mark.parametrize("kind", ["picture", "film"])
def test_an_existing_fifo_is_not_read(kind):
    os.mkfifo("x.webm")
    job = Job(Input(Path("a"), kind=kind), Path("x.webm"))
    assert job.exists()
    assert not job.made_otherwise(InferSettings())


def test_jpeg_is_accepted_without_alpha():
    assert targets(files("a.jpg"), "x.jpg", tag="green") == ["x.jpg"]


def test_format_applies_to_pictures_and_not_to_films():
    inputs = [*files("a.png", "b.jpg"), Input(Path("c.mp4"), kind="film")]
    asked = {"tag": "white", "form": "jpg"}
    assert targets(inputs, **asked) == ["a_white.jpg", "b_white.jpg", "c_white.mp4"]
    assert targets(files("a.png"), "x.JPG", **asked) == ["x.JPG"]
    assert targets(files("a.png"), form=".WEBP") == ["a_rgba.webp"]
    (piped,) = plan_outputs(files("-"), InferSettings(styles=(style("white"),), form="jpg"))
    assert Image.open(io.BytesIO(encode_picture(RGB, piped.suffix))).format == "JPEG"


@pytest.mark.parametrize(
    ("name", "out", "form", "message"),
    [
        ("a.png", None, "jpg", "cannot write transparency to format 'jpg'; use .png, .webp, .avif"),
        ("a.png", None, "gif", "format 'gif': no picture format has this suffix; use one of .png"),
        ("a.png", "x.png", "webp", "x.png: --format webp does not go with this name; leave it"),
        ("a.mp4", None, "png", "--format is for pictures; films take --codec, or -o with"),
    ],
)
def test_an_impossible_format_is_refused(name, out, form, message):
    inputs = [Input(Path(name), kind="film" if name.endswith("mp4") else "picture")]
    with pytest.raises(UsageError) as caught:
        targets(inputs, out, form=form)
    assert str(caught.value).startswith(message)


def test_results_with_the_same_stem_keep_the_extension_of_their_input():
    assert targets(files("a.jpg", "b.jpg", "a.png")) == [
        "a.jpg_rgba.png",
        "b_rgba.png",
        "a.png_rgba.png",
    ]


def test_the_plan_does_not_depend_on_the_order():
    names = ["a.jpg", "a.png", "a.jpg.png", "A.bmp", "b.jpg"]
    plans = [dict(zip(n, targets(files(*n)), strict=True)) for n in (names, names[::-1])]
    assert plans[0] == plans[1]
    assert len({target.casefold() for target in plans[0].values()}) == len(names)
    assert plans[0]["a.jpg.png"] == "a.jpg.png_rgba.png"


def test_two_results_with_the_same_path_are_refused():
    with pytest.raises(
        UsageError, match=r"x/a.jpg and y/a.jpg would both be written to out.a.jpg_"
    ):
        targets(files("x/a.jpg", "y/a.jpg"), "out/")


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that differ by capitals only")
def test_names_that_differ_in_case_only_are_kept_where_possible():
    assert targets(files("a.jpg", "A.jpg")) == ["a.jpg_rgba.png", "A.jpg_rgba.png"]


@pytest.mark.parametrize("out", ["a.png", "./a.png", "sub/../a.png"])
def test_an_input_is_replaced_only_when_asked(out):
    touch("a.png", "sub/x")
    with pytest.raises(UsageError, match="is the input itself; --overwrite replaces it"):
        targets(files("a.png"), out)
    assert targets(files("a.png"), out, overwrite=True) == [out.removeprefix("./")]


def test_an_input_is_never_replaced_by_the_result_of_another():
    touch("a.jpg", "a_rgba.png")
    assert targets(files("a.jpg", "a_rgba.png"))[0] == "a_rgba.png"  # exists: skipped
    with pytest.raises(UsageError, match=r"a_rgba.png is an input, and the output of a.jpg"):
        targets(files("a.jpg", "a_rgba.png"), overwrite=True)


def test_a_job_has_display_names_and_is_done_if_its_output_exists():
    touch("done.png")
    job = Job(Input(Path("a.jpg")), Path("done.png"))
    assert (job.source, job.output, job.exists()) == ("a.jpg", "done.png", True)
    piped = Job(Input(None), None)
    assert (piped.source, piped.output, piped.exists()) == ("-", "-", False)
    assert not Job(Input(None), Path("n" * 300)).exists()


def test_a_picture_is_saved_in_a_new_folder():
    save_picture(RGB, Path("new/er/x.png"))
    assert np.array_equal(np.asarray(Image.open("new/er/x.png")), RGB)
    assert list(Path("new/er").iterdir()) == [Path("new/er/x.png")]


def test_a_picture_goes_to_standard_output(monkeypatch):
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe))
    save_picture(RGB, None)
    assert np.array_equal(np.asarray(Image.open(pipe)), RGB)


def test_a_failed_write_is_an_error_of_one_line():
    touch("file")
    with pytest.raises(SinkError, match=r"^cannot write file.x\.png: "):
        save_picture(RGB, Path("file/x.png"))
    with pytest.raises(SinkError, match=r"^cannot write n+\.png: File name too long$"):
        save_picture(RGB, Path("n" * 300 + ".png"))


def test_a_full_disk_leaves_no_file(monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    Path("x.png").write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SinkError, match=r"^cannot write x\.png: No space left on device$"):
        save_picture(RGB, Path("x.png"))
    assert list(Path().iterdir()) == [Path("x.png")]
    assert Path("x.png").read_bytes() == b"before"


def test_a_closed_pipe_is_an_error_of_one_line(monkeypatch):
    class Closed(io.RawIOBase):
        def write(self, data):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=Closed()))
    with pytest.raises(SinkError, match="cannot write to standard output: Broken pipe"):
        save_picture(RGB, None)
