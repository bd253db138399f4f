"""``sod pseudo-label``: dense labels for films with sparse ground truth."""

import json
import re
import shutil

import cv2
import numpy as np
import pytest
import torch

from sodcli.metrics.measure import measure
from sodcli.metrics.scores import summarise
from sodcli.models import build_model
from sodcli.models.restore import describe
from sodcli.weights.cache import stored
from sodcli.weights.save import save_weights
from tests.conftest import manifest, rule_weights
from tests.sparse_film import draw_film


@pytest.fixture
def root(tmp_path):
    data = tmp_path / "data"
    draw_film(data / "toys" / "disc" / "images", data / "toys" / "disc" / "GT", frames=12)
    return data


@pytest.fixture
def label(sod, root, tmp_path):
    """Return a function that runs the command on the toy film, by default without a network."""

    def run(*words, interval=5, between=1, network=()):
        how = network or ("--warp-only",)
        options = ("--sets", "toys", "--label-interval", interval, "--between", between)
        return sod("pseudo-label", "--data", root, *options, "-o", tmp_path / "out", *how, *words)

    return run


def names(folder):
    return [path.name for path in sorted(folder.glob("**/*.png"))]


def grey(path):
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 2
    return pixels


def test_labels_are_written_beside_the_kept_ground_truth(label, root, tmp_path):
    result = label()
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "out" / "1_5"
    assert result.stdout == f"{folder}\n"
    film = folder / "toys" / "disc"
    assert names(folder) == [f"{n:05d}.png" for n in (0, 2, 5, 7, 10)]
    for name in ("00000.png", "00005.png", "00010.png"):
        truth = grey(root / "toys" / "disc" / "GT" / name)
        assert np.array_equal(grey(film / name), truth)
    report = " ".join(result.stderr.split())
    assert "toys: 1 film, 3 annotations kept, 2 labels made, 0 there already" in report
    assert str(folder / "toys") in report


def test_generated_labels_cover_the_moving_object(label, root, tmp_path):
    label(between=4)
    film = tmp_path / "out" / "4_5" / "toys" / "disc"
    made = [n for n in range(11) if n % 5]
    scores = summarise(
        measure(grey(film / f"{n:05d}.png"), grey(root / "toys" / "disc" / "GT" / f"{n:05d}.png"))
        for n in made
    ).as_dict()
    assert scores["maxF"] > 0.95


def test_a_second_run_continues_the_first(label, tmp_path):
    label()
    film = tmp_path / "out" / "1_5" / "toys" / "disc"
    (film / "00007.png").unlink()
    (film / ".sod-leftover.png").write_bytes(b"killed in the middle")
    before = {path.name: path.stat().st_mtime_ns for path in film.glob("0*.png")}
    result = label()
    assert "0 annotations kept, 1 label made, 4 there already" in " ".join(result.stderr.split())
    after = {path.name: path.stat().st_mtime_ns for path in film.glob("*.png")}
    assert after.keys() == before.keys() | {"00007.png"}
    assert all(after[name] == time for name, time in before.items())


def test_labels_of_two_generators_are_never_mixed(label, generator_file, tmp_path):
    label()
    result = label(network=("-w", generator_file, "--size", 64))
    assert result.exit_code == 2
    assert "were not made with these weights and settings" in result.stderr
    assert label("--overwrite", network=("-w", generator_file, "--size", 64)).exit_code == 0
    file = tmp_path / "out" / "1_5" / "toys" / "disc" / "pseudo-labels.json"
    note = json.loads(file.read_text())
    assert note["network"]["weights"] == generator_file.name
    assert label().exit_code == 2


def test_labels_of_films_made_one_by_one_are_never_mixed(sod, generator_file, tmp_path):
    for film in ("disc", "ball"):
        place = tmp_path / "toys" / film
        draw_film(place / "images", place / "GT", frames=6)

    def run(data, *how):
        return sod("pseudo-label", "--data", data, "-o", tmp_path / "out", *how).exit_code

    network = ("-w", generator_file, "--size", 64)
    assert run(tmp_path / "toys" / "disc", "--warp-only") == 0
    assert run(tmp_path / "toys" / "ball", *network) == 0
    assert run(tmp_path / "toys", *network) == 2
    assert run(tmp_path / "toys" / "disc", "--warp-only") == 0


def test_without_a_network_its_settings_are_refused(label):
    for words in (("-w", "x.safetensors"), ("--size", 64), ("--half",)):
        result = label(*words)
        assert result.exit_code == 2
        assert "--warp-only uses no network" in result.stderr


def test_labels_of_an_unknown_generator_are_not_extended(label, tmp_path):
    label()
    (tmp_path / "out" / "1_5" / "toys" / "disc" / "pseudo-labels.json").unlink()
    assert label().exit_code == 2
    assert label("--overwrite").exit_code == 0


def test_a_folder_that_cannot_be_written_is_reported(label, tmp_path):
    (tmp_path / "out").write_bytes(b"a file")
    result = label()
    assert result.exit_code == 1
    assert f"cannot write {tmp_path / 'out' / '1_5'}" in " ".join(result.stderr.split())


def test_the_test_split_of_a_set_is_not_labelled(sod, tmp_path):
    for film in ("bear", "camel"):
        places = (
            tmp_path / "DAVIS" / part / "480p" / film for part in ("JPEGImages", "Annotations")
        )
        draw_film(*places)
    where = ("--data", tmp_path, "--sets", "DAVIS", "-o", tmp_path / "out", "--warp-only")
    result = sod("pseudo-label", *where)
    assert result.exit_code == 0, result.stderr
    assert "DAVIS: sequences that it is tested on are left out: 1" in result.stderr
    assert [path.name for path in (tmp_path / "out" / "1_5" / "DAVIS").iterdir()] == ["bear"]


@pytest.fixture
def generator_file(tmp_path):
    path = tmp_path / "fgplg.pth"
    torch.save(rule_weights(manifest("rcrnet/manifest_fgplg.json")), path)
    return path


@pytest.mark.slow
def test_the_network_makes_labels_of_the_frame_size(label, generator_file, tmp_path):
    result = label("-v", "--json", network=("-w", generator_file, "--size", 64))
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    (row,) = answer["sets"]
    assert (row["kept"], row["made"], row["failed"]) == (3, 2, 0)
    assert grey(tmp_path / "out" / "1_5" / "toys" / "disc" / "00002.png").shape == (64, 96)
    assert answer["time"].keys() == {"flow", "network", "disk", "rest"}
    assert answer["time"]["network"] > 0
    assert sum(answer["time"].values()) == pytest.approx(1, abs=1e-6)


def test_verbose_prints_where_the_time_went(label):
    shares = re.search(
        r"time: flow (\d+)%, network (\d+)%, disk (\d+)%, rest (\d+)%", label("-v").stderr
    )
    assert 97 <= sum(map(int, shares.groups())) <= 103
    assert shares[2] == "0"
    assert "time:" not in label().stderr


def test_unreadable_frames_are_reported_and_the_others_labelled(label, root, tmp_path):
    film = root / "toys" / "disc"
    (film / "images" / "00002.jpg").write_bytes(b"no picture")
    (film / "GT" / "00010.png").write_bytes(b"no mask")
    result = label()
    assert result.exit_code == 3
    assert names(tmp_path / "out") == ["00000.png", "00005.png"]
    assert "00002.jpg: is damaged or no picture" in result.stderr
    assert "3 of 5 labels failed" in result.stderr


def test_a_frame_of_another_size_is_reported(label, root):
    frame = root / "toys" / "disc" / "images" / "00007.jpg"
    cv2.imwrite(str(frame), np.zeros((20, 20, 3), np.uint8))
    result = label()
    assert result.exit_code == 3
    assert "00007.jpg: its size is not that of the labelled frames" in result.stderr


@pytest.mark.parametrize(("interval", "between"), [(5, 5), (1, 1), (30, 1)])
def test_more_labels_than_frames_in_a_gap_are_an_error(label, interval, between):
    result = label(interval=interval, between=between)
    assert result.exit_code == 2
    assert "there is room for" in result.stderr


def test_without_weights_the_error_names_the_alternative(sod, root, tmp_path):
    result = sod("pseudo-label", "--data", root, "-o", tmp_path / "out")
    assert result.exit_code == 4
    assert "fgplg" in result.stderr
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused(label, registry, tmp_path, small_weights):
    result = label(network=("-w", small_weights))
    assert result.exit_code == 1
    assert "sdnet" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [("raft-smal", "Did you mean 'raft-small'?"), ("lite", "'lite' estimates no optical flow")],
)
def test_an_unknown_flow_is_reported(label, name, text):
    result = label("--flow", name)
    assert result.exit_code == 2
    assert text in result.stderr


@pytest.mark.slow
def test_raft_is_used_when_its_weights_are_cached(label, registry, tmp_path, monkeypatch):
    torch.manual_seed(0)
    spec = registry.model("raft-small")
    monkeypatch.setenv("SOD_HOME", str(tmp_path / "home"))
    module = build_model(spec)
    file = stored(registry.weights[spec.weights])
    save_weights(file, module.state_dict(), describe(spec, module, spec.args))
    result = label("--flow", "raft-small")
    assert result.exit_code == 0, result.stderr


@pytest.mark.slow
def test_warped_labels_alone_match_real_films(sod, shared_data, tmp_path):
    """Ground truth for every 5th frame; correct flow and warping predict the other frames."""
    where = ("--data", shared_data, "--sets", "DAVIS-dev", "-o", tmp_path)
    result = sod("pseudo-label", *where, "--label-interval", 5, "--between", 1, "--warp-only")
    assert result.exit_code == 0, result.stderr
    made = tmp_path / "1_5" / "DAVIS-dev"
    scores = []
    for film in sorted(made.iterdir()):
        truths = sorted((shared_data / "DAVIS-dev" / film.name / "GT").iterdir())
        between = truths[2:-3:5]
        scores += [measure(grey(film / path.name), grey(path)) for path in between]
    assert len(scores) == 32
    assert summarise(scores).as_dict()["maxF"] >= 0.75


def test_films_of_sets_with_the_same_name_have_separate_labels(sod, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    for first, name in ((0, "a"), (100, "b")):
        film = data / name / "DAVIS" / "disc"
        draw_film(film / "images", film / "GT", frames=6, first=first)
        shutil.copytree(film, film.with_name("bear"))
    words = ["--data", data, "--warp-only", "--label-interval", 5, "-o", out, "--json"]
    result = sod("pseudo-label", *words)
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)["sets"]
    assert [(row["set"], row["films"], row["made"]) for row in rows] == [
        ("a/DAVIS", 2, 2),
        ("b/DAVIS", 2, 2),
    ]
    assert names(out / "1_5" / "b" / "DAVIS" / "disc") == ["00100.png", "00102.png", "00105.png"]
