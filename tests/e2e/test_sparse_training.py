"""A film model from sparse ground truth of real films, with commands only."""

import json
import shutil

import cv2
import pytest

from sodcli.weights.read import read_weights
from tests.film_kit import ffmpeg, pixels

pytestmark = pytest.mark.slow

FILMS = ("blackswan", "libby")
FRAMES = 11  # of each film; with one annotation of five: three annotations, two gaps
SMALL = ("--size", 64, "--epochs", 1, "--device", "cpu", "--threads", 1)


@pytest.fixture
def films(shared_data, tmp_path):
    """The first frames of two sequences, 128 px wide."""
    root = tmp_path / "data" / "films"
    for film in FILMS:
        for part in ("images", "GT"):
            (root / film / part).mkdir(parents=True)
            for file in sorted((shared_data / "DAVIS-dev" / film / part).iterdir())[:FRAMES]:
                picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
                small = cv2.resize(picture, (128, 72), interpolation=cv2.INTER_AREA)
                assert cv2.imwrite(str(root / film / part / file.name), small)
    return root


@pytest.fixture
def runs(tmp_path):
    """A folder for runs, removed after the test: each run leaves 0.9 GB."""
    yield tmp_path / "runs"
    shutil.rmtree(tmp_path / "runs")


@pytest.fixture
def done(sod):
    """Run a command that must succeed; return its output."""

    def run(*words):
        result = sod(*words)
        assert result.exit_code == 0, result.stderr
        return result.stdout.strip(), " ".join(result.stderr.split())

    return run


def test_pretrain_generate_train_and_infer(done, films, runs, tmp_path):
    image, _ = done(
        *("train", "--model", "rcrnet-image", "--data", films / "libby", "--batch", 5),
        *("-o", runs / "image", *SMALL),
    )

    generator, told = done(
        *("train", "--model", "fgplg", "--data", films, "--label-interval", 5, "--init", image),
        *("-o", runs / "generator", *SMALL),
    )
    assert "1 triple to train on, 1 to validate on" in told  # one of each film
    assert (runs / "generator" / "samples" / "epoch_0001.png").exists()

    labels, told = done(
        *("pseudo-label", "--data", films.parent, "--sets", "films", "-o", tmp_path / "labels"),
        *("--label-interval", 5, "--between", 1, "--weights", generator, "--device", "cpu"),
    )
    assert labels == str(tmp_path / "labels" / "1_5")
    assert "2 films, 6 annotations kept, 4 labels made" in told
    (first, _) = (tmp_path / "labels" / "1_5" / "films").glob("*/pseudo-labels.json")
    note = json.loads(first.read_text())
    assert note["network"]["model"] == "fgplg"
    assert note["network"]["size_hw"] == [64, 64]  # the size it was trained at

    film_model, told = done(
        *("train", "--model", "rcrnet", "--data", films, "--pseudo-labels", labels),
        *("--init", image, "-o", runs / "film", *SMALL),
    )
    assert "2 clips to train on, 2 to validate on" in told  # overlapping clips; disjoint ones
    assert "validation is on pseudo labels" in told
    about = read_weights(runs / "film" / "best.safetensors").metadata
    assert (about["model"], about["data"]) == ("rcrnet", "films, pseudo labels 1_5")

    frames = ("-framerate", 10, "-i", films / "libby" / "images" / "%05d.jpg")
    ffmpeg(*frames, "-pix_fmt", "yuv420p", tmp_path / "libby.mp4")
    maps, _ = done(
        *("infer", tmp_path / "libby.mp4", "-m", "rcrnet", "--weights", film_model, "-t", "map"),
        *("-o", tmp_path / "maps.mp4", "--device", "cpu"),
    )
    assert pixels(tmp_path / "maps.mp4", 1).shape[:3] == (FRAMES, 72, 128), maps
