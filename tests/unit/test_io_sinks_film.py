"""Output paths of films, planned before any work."""

from pathlib import Path

import pytest

from sodcli.errors import UsageError
from sodcli.io.settings import InferSettings, Style
from sodcli.io.sinks import Job, plan_outputs
from sodcli.io.sources import Input


def films(*names, root=None):
    return [Input(Path(name), root and Path(root), "film") for name in names]


def plan(inputs, out=None, tag="rgba", **options):
    jobs = plan_outputs(
        inputs,
        InferSettings(styles=(Style("rgba" if tag == "rgba" else "map", tag),), out=out, **options),
    )
    return [(job.target.as_posix(), job.frames) for job in jobs]


@pytest.mark.parametrize(
    ("tag", "codec", "name"),
    [
        ("rgba", "auto", "clip_rgba.mov"),
        ("rgba", "vp9", "clip_rgba.webm"),
        ("rgba", "ffv1", "clip_rgba.mkv"),
        ("rgba", "webp", "clip_rgba.webp"),
        ("blur", "auto", "clip_blur.mp4"),
        ("beach", "h265", "clip_beach.mp4"),
        ("map", "gif", "clip_map.gif"),
    ],
)
def test_the_container_follows_type_and_codec(tag, codec, name):
    assert plan(films("a/clip.avi"), tag=tag, codec=codec) == [(f"a/{name}", False)]
    inner = films("in/b/clip.avi", root="in")
    assert plan(inner, tag=tag, codec=codec) == [(f"in_{tag}/b/{name}", False)]


def test_frames_go_into_the_folder_that_is_named_or_into_one_each(tmp_path):
    for out in ("frames", "frames/", str(tmp_path)):
        wanted = out.rstrip("/")
        assert plan(films("clip.mp4"), out) == [(wanted, True)]
        assert plan(films("clip.mp4"), out, tag="map", codec="png") == [(wanted, True)]
        assert plan(films("clip.mp4"), out, tag="map") == [(f"{wanted}/clip_map.mp4", False)]
        assert plan(films("clip.mp4"), out, codec="prores") == [(f"{wanted}/clip_rgba.mov", False)]
    assert plan(films("clip.mp4"), codec="png") == [("clip_rgba", True)]
    two = films("a.mp4", "b.mp4")
    assert plan(two, "out", codec="png") == [("out/a_rgba", True), ("out/b_rgba", True)]
    assert plan(two, "out") == [("out/a_rgba.mov", False), ("out/b_rgba.mov", False)]


def test_films_with_the_same_stem_keep_the_extension_of_their_input():
    assert plan(films("a.mp4", "a.mkv"), tag="map") == [
        ("a.mp4_map.mp4", False), ("a.mkv_map.mp4", False)]  # fmt: skip
    mixed = [*films("a.mp4"), Input(Path("a.png"))]
    assert plan(mixed, tag="map") == [("a_map.mp4", False), ("a_map.png", False)]


@pytest.mark.parametrize(
    ("names", "out", "options", "message"),
    [
        (["a.mp4"], "-", {"codec": "h264"}, "cannot write transparency to standard output; use"),
        (["a.mp4"], "x.mp4", {}, "cannot write transparency to x.mp4; use .mov, .webm, or a"),
        (["a.mp4"], None, {"codec": "h264"}, "cannot write transparency to a_rgba.mp4; use .mov"),
        (["a.mp4", "b.mp4"], "x.mov", {}, "x.mov takes one result, not 2; use -o FOLDER/"),
        (["a.mp4"], "x.tiff", {}, "x.tiff: no film format has this suffix; use one of .mp4"),
        (["a.mp4"], "x.wmv", {}, "x.wmv: no film format has this suffix; use one of .mp4"),
        (["a.mp4"], None, {"codec": "mpeg"}, "--codec mpeg: no such codec. Known: auto"),
    ],
)
def test_impossible_outputs_are_refused_before_any_work(names, out, options, message):
    with pytest.raises(UsageError) as caught:
        plan(films(*names), out, **options)
    assert str(caught.value).startswith(message)


def test_a_picture_as_output_of_a_film_is_refused():
    with pytest.raises(UsageError, match=r"x.mp4: no picture format has this suffix"):
        plan([Input(Path("a.png"))], "x.mp4", tag="map")


def test_a_film_does_not_replace_itself_without_overwrite(tmp_path):
    film = tmp_path / "a.mp4"
    film.touch()
    with pytest.raises(UsageError, match="is the input itself; --overwrite replaces it"):
        plan(films(film), str(film), tag="map")


def test_a_folder_of_frames_exists_once_it_has_a_first_frame(tmp_path):
    job = Job(Input(tmp_path / "a.mp4", kind="film"), tmp_path, frames=True)
    (tmp_path / "notes.txt").touch()
    assert not job.exists()
    (tmp_path / "00000.png").touch()
    assert job.exists()
