"""``sod eval``: output and exit codes."""

import errno
import json
import re
import shutil
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from sodcli.benchmark import evaluate as evaluation
from sodcli.cli import ui
from sodcli.errors import SinkError
from tests.scoring_kit import draw_films, draw_set, draw_truth, save

COLUMNS = ["MAE", "maxF", "meanF", "adpF", "wF", "S", "maxE", "meanE", "adpE", "mBA"]


@pytest.fixture
def data(tmp_path):
    draw_set(tmp_path / "S", [tmp_path / "a", tmp_path / "b"], 4)
    return tmp_path


def test_one_folder_against_another(sod, data):
    result = sod("eval", data / "a", data / "S" / "GT")
    assert result.exit_code == 0
    head, line, scores = result.stdout.splitlines()
    assert head.split() == ["set", "method", "images", *COLUMNS]
    assert set(line.strip()) == {"─"}
    assert scores.split()[:3] == ["S", "a", "4"]
    assert all(0 <= float(score) <= 1 for score in scores.split()[3:])
    assert result.stderr == ""


def test_methods_side_by_side_and_the_best_is_marked(sod, data):
    result = sod("eval", "--gt", data / "S", f"x={data}/a", f"y={data}/b", "--metrics", "mae,sm")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][3:] == ["MAE", "S"]
    assert [line[1] for line in lines[2:]] == ["x", "y"]
    assert all(score.endswith("*") for score in lines[2][3:])
    assert not any(score.endswith("*") for score in lines[3][3:])
    assert sod("eval", data / "a", data / "b", data / "S").stdout.count("\n") == 4


def test_stdout_has_only_the_json(sod, data):
    document = json.loads(sod("eval", data / "a", data / "S", "--json").stdout)
    assert list(document["results"][0]["scores"]) == COLUMNS
    assert len(document["results"][0]["per_image"]) == 4


def test_reports_go_to_the_given_files(sod, data):
    files = {kind: data / f"report.{kind}" for kind in ("json", "csv", "html", "md", "tex")}
    words = [word for kind, path in files.items() for word in ("-o", path)]
    result = sod("eval", data / "a", data / "S", *words)
    assert result.exit_code == 0
    assert "S" in result.stdout
    assert all(path.stat().st_size > 100 for path in files.values())
    assert all(f"wrote {path}" in result.stderr for path in files.values())
    assert sod("eval", data / "a", data / "S", *words, "-q").stderr == ""
    assert json.loads(files["json"].read_text())["results"][0]["images"] == 4


def test_the_table_is_printed_even_if_a_report_fails(sod, data, monkeypatch):
    """A disk that is full at the end does not lose the scores."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    result = sod("eval", data / "a", data / "S", "-o", data / "a.csv")
    assert result.exit_code == 1
    assert result.stdout.count("\n") == 3
    assert result.stderr == f"error: cannot write {data / 'a.csv'}: No space left on device\n"


def test_reports_are_written_even_if_stdout_is_closed(sod, data, monkeypatch):
    def closed(*_):
        raise SinkError("cannot write to standard output: Broken pipe")

    monkeypatch.setattr(ui, "print_table", closed)
    result = sod("eval", data / "a", data / "S", "-o", data / "a.csv")
    assert result.exit_code == 1
    assert result.stderr.endswith("error: cannot write to standard output: Broken pipe\n")
    assert (data / "a.csv").read_text().startswith("set,method")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")
def test_an_unwritable_report_is_refused_before_scoring(sod, data, monkeypatch):
    monkeypatch.setattr(evaluation, "run", lambda *_, **__: pytest.fail("was scored"))
    for place in ("/proc/x.csv", "/proc/new/x.csv"):  # not writable, even for root
        result = sod("eval", data / "a", data / "S", "-o", place)
        assert (result.exit_code, result.stdout) == (1, "")
        assert re.fullmatch(rf"error: cannot write {place}: .+\n", result.stderr)


def test_missing_maps_warn_and_with_strict_fail(sod, data):
    (data / "a" / "0002.png").unlink()
    result = sod("eval", data / "a", data / "S")
    assert result.exit_code == 0
    assert "3 of 4" in result.stdout
    assert "warning: S, a: 1 of 4 maps are missing: 0002" in result.stderr
    strict = sod("eval", data / "a", data / "S", "--strict", "-o", data / "r.html")
    assert strict.exit_code == 4
    assert strict.stdout == ""
    assert "error: S, a: 1 of 4 maps are missing: 0002" in strict.stderr
    assert not (data / "r.html").exists()


def test_methods_in_folders_of_one_name_are_called_by_their_parents(sod, data):
    for method in ("ours", "theirs"):
        (data / "maps" / method).mkdir(parents=True)
    (data / "a").rename(data / "maps" / "ours" / "S")
    shutil.copytree(data / "maps" / "ours" / "S", data / "maps" / "theirs" / "S")
    result = sod("eval", data / "maps" / "ours" / "S", data / "maps" / "theirs" / "S", data / "S")
    assert [line.split()[:2] for line in result.stdout.splitlines()[2:]] == [
        ["S", "ours"],
        ["S", "theirs"],
    ]


def test_damaged_maps_give_exit_3_and_with_strict_1(sod, data):
    (data / "a" / "0002.png").write_bytes(b"nothing")
    result = sod("eval", data / "a", data / "S")
    assert result.exit_code == 3
    assert "3 of 4" in result.stdout
    assert "0002.png: is damaged or no picture" in result.stderr
    strict = sod("eval", data / "a", data / "S", "--strict")
    assert (strict.exit_code, strict.stdout) == (1, "")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["a"], 2, "where is the ground truth"),
        (["a", "nowhere"], 4, "no folder 'nowhere'"),
        (["nowhere", "S"], 4, "no folder 'nowhere'"),
        (["empty", "S"], 4, "no map for any of 4 ground truths"),
        (["a", "empty"], 4, "no ground truth in empty"),
        (["--gt", "S", "a", "./a"], 2, "two methods are called 'a'"),
        (["a", "S", "--metrics", "auc"], 2, "no measure named 'auc'"),
        (["a", "S", "--metrics", ","], 2, "no measure is named"),
        (["a", "S", "--video", "stdnet"], 2, "leave --video out"),
        (["a", "S", "--video", "vhs"], 2, "vhs"),
        (["a", "S", "--workers", "0"], 2, "workers"),
        (["a", "S", "-o", "empty"], 2, "is a folder"),
        (["a", "S", "-o", "S/GT/0000.png/x.csv"], 1, "x.csv"),
    ],
)
def test_usage_errors_are_one_line(sod, data, monkeypatch, words, code, says):
    (data / "empty").mkdir()
    monkeypatch.chdir(data)
    result = sod("eval", *words)
    assert result.exit_code == code
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert says in lines[0]


def test_films_are_scored_by_each_protocol(sod, tmp_path):
    draw_films(tmp_path / "F", tmp_path / "m", {"bear": 4, "cat": 5})
    counts = {
        video: sod("eval", tmp_path / "m", tmp_path / "F", *words).stdout.splitlines()[2].split()[2]
        for video, words in (
            ("none", []), ("stdnet", ["--video", "stdnet"]), ("rcrnet", ["--video", "rcrnet"])
        )
    }  # fmt: skip
    assert counts == {"none": "9", "stdnet": "5", "rcrnet": "9"}
    assert "--video" in sod("eval", tmp_path / "m", tmp_path / "F").stderr
    assert "--video" not in sod("eval", tmp_path / "m", tmp_path / "F", "--video", "rcrnet").stderr


@pytest.mark.slow
def test_several_workers_print_the_same(sod, data):
    alone, both = (sod("eval", data / "a", data / "S", "--workers", n, "--json") for n in (1, 2))
    assert alone.exit_code == both.exit_code == 0
    assert alone.stdout == both.stdout


def test_an_incomplete_method_is_not_marked_and_common_compares_shared_images(sod, data):
    for name in ("0001", "0002"):
        (data / "b" / f"{name}.png").unlink()
    words = ("eval", "--gt", data / "S", data / "a", data / "b", "--metrics", "mae")
    partial = sod(*words)
    assert "*" not in partial.stdout
    assert "2 of 4" in partial.stdout
    common = sod(*words, "--common")
    lines = [line.split() for line in common.stdout.splitlines()[2:]]
    assert [line[2] for line in lines] == ["2", "2"]
    assert common.stdout.count("*") == 1
    assert "S: compared on the 2 of 4 images that all methods have" in common.stderr
    (data / "b" / "0003.png").write_bytes(b"nothing")
    damaged = sod(*words, "--common")
    assert damaged.exit_code == 3
    assert f"warning: 1 damaged file: {data / 'b' / '0003.png'}: is damaged" in damaged.stderr
    save(data / "b" / "0003.png", draw_truth(3))
    for name in ("0000", "0003"):
        (data / "a" / f"{name}.png").unlink()
    assert "S: no image that all methods have" in sod(*words, "--common").stderr


def test_overlap_measures_on_request(sod, data):
    result = sod("eval", "--gt", data / "S", data / "S" / "GT", "--metrics", "iou,dice,ber")
    head, _, line = (line.split() for line in result.stdout.splitlines())
    assert head[3:] == ["IoU", "Dice", "BER"]
    assert line[3:] == ["1.0000", "1.0000", "0.0000"]
    everything = sod("eval", "--gt", data / "S", data / "a", "--metrics", "all")
    assert everything.stdout.splitlines()[0].split()[3:] == [*COLUMNS, "IoU", "Dice", "BER"]


def test_perfect_maps_against_masks_with_a_palette(sod, tmp_path):
    """Two sequences annotated as in DAVIS 2017; perfect maps get perfect scores."""
    for at, film in enumerate(("bear", "goat")):
        for frame in range(4):
            truth = draw_truth(10 * at + frame)
            objects = (truth > 0).astype(np.uint8)
            objects[:, truth.shape[1] // 2 :] *= 2
            mask = Image.fromarray(objects)
            mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
            for folder, suffix, picture in (
                ("JPEGImages/480p", "jpg", Image.fromarray(np.dstack([truth // 2 + 60] * 3))),
                ("Annotations/480p", "png", mask),
            ):
                place = tmp_path / "DAVIS" / folder / film
                place.mkdir(parents=True, exist_ok=True)
                picture.save(place / f"{frame:05}.{suffix}")
            save(tmp_path / "maps" / film / f"{frame:05}.png", truth)
    words = ("eval", tmp_path / "maps", tmp_path / "DAVIS", "--json")
    for video in ((), ("--video", "stdnet"), ("--video", "rcrnet")):
        result = sod(*words, *video)
        (row,) = json.loads(result.stdout)["results"]
        assert (row["scores"]["MAE"], row["scores"]["maxF"]) == (0, 1)
        assert "ground truths with a palette" in result.stderr


def test_faint_ground_truth_is_an_error_with_three_names(sod, data):
    for path in (data / "S" / "GT").iterdir():
        save(path, (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0) * np.uint8(7))
    (data / "a" / "0001.png").unlink()  # the fault is that of the ground truth all the same
    result = sod("eval", data / "a", data / "S")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "all 4 ground truths of S are nowhere brighter than half: " in result.stderr
    assert result.stderr.count("(at most 7 of 255)") == 3


def test_photos_in_place_of_ground_truth_are_an_error(sod, data):
    paths = sorted((data / "S" / "GT").iterdir())
    for path in paths[1:]:
        save(path, np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    result = sod("eval", data / "a", data / "S")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"3 of 4 ground truths of S are photos: {paths[1]}, " in result.stderr


def test_ground_truth_of_another_size_is_fitted_on_request(sod, data):
    for path in (data / "S" / "GT").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        save(path, cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST))
    words = ("eval", "--gt", data / "S", data / "a", "--metrics", "mae")
    assert "4 maps resized to the ground truth" in sod(*words).stderr
    fitted = sod(*words, "--fit-masks")
    assert "4 ground truths resized to the photo" in fitted.stderr
    assert "maps resized" not in fitted.stderr
