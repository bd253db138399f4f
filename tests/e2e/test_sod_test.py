"""``sod test`` on files: outputs, messages and failures."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import sodcli
from sodcli.imaging.tensors import to_input, to_saliency
from tests.conftest import manifest, rule_weights
from tests.draw_kit import draw_photo
from tests.process_kit import start_team

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
SIZE = ("--size", "64", "--threads", "1", "--device", "cpu")
SMALL = ("--size", "32", *SIZE[2:])


def draw_pair(folder, name, seed, size_hw=(60, 80), images="images", masks="GT"):
    rgb, truth = draw_photo(seed, size_hw)
    for part in (images, masks):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(folder / images / f"{name}.jpg", quality=95)
    Image.fromarray(truth.astype(np.uint8) * 255).save(folder / masks / f"{name}.png")


@pytest.fixture
def root(tmp_path):
    """A set of three pictures and a film of two sequences."""
    for seed, size_hw in enumerate([(60, 80), (61, 45), (90, 120)]):
        draw_pair(tmp_path / "data" / "Toys", f"toy_{seed}", seed, size_hw)
    for clip in ("bear", "goat"):
        for at in range(10):
            draw_pair(tmp_path / "data" / "Movie" / clip, f"{at:05}", at)
    return tmp_path / "data"


@pytest.fixture
def film_weights(tmp_path):
    path = tmp_path / "stdnet.pth"
    torch.save(rule_weights(manifest("stdnet/manifest_stdnet.json")["training"]), path)
    return path


def read(path):
    with Image.open(path) as picture:
        assert (picture.mode, picture.format) == ("L", "PNG")
        return np.asarray(picture)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_maps_are_those_of_the_published_protocol(sod, root, tmp_path, small_weights):
    out = tmp_path / "maps"
    result = sod("test", "--data", root, "--sets", "toys", "-o", out, "-w", small_weights, *SIZE)
    assert (result.exit_code, result.stdout) == (0, f"{out / 'Toys'}\n"), result.stderr
    assert sorted(files(out)) == [f"Toys/toy_{at}.png" for at in range(3)]
    predictor = sodcli.load(weights=small_weights, size=64, device="cpu")
    for at in range(3):
        rgb = cv2.imread(str(root / "Toys" / "images" / f"toy_{at}.jpg"))[..., ::-1]
        logits = predictor.backend.run(to_input(rgb, (64, 64))[None])[0, 0]
        wanted = np.rint(to_saliency(logits, rgb.shape[:2]) * 255)
        np.testing.assert_array_equal(read(out / "Toys" / f"toy_{at}.png"), wanted)


def test_every_set_of_a_root_and_the_json_document(sod, root, tmp_path, small_weights):
    out = tmp_path / "maps"
    words = ["--data", root, "-o", out, "-w", small_weights, "--batch", 4, "--json", *SIZE]
    result = sod("test", *words)
    assert result.exit_code == 0, result.stderr
    assert [
        (one["set"], one["film"], one["done"]) for one in json.loads(result.stdout)["sets"]
    ] == [
        ("Movie", True, 20),
        ("Toys", False, 3),
    ]
    assert {"Movie/bear/00000.png", "Movie/goat/00009.png"} < files(out).keys()


def test_sequences_go_through_a_clip_model_in_the_papers_clips(sod, root, tmp_path, film_weights):
    maps = {}
    for protocol in ("paper", "infer"):
        out = tmp_path / protocol
        words = ["--data", root / "Movie", "-o", out, "-m", "stdnet", "-w", film_weights]
        result = sod("test", *words, "--protocol", protocol, *SMALL)
        assert result.exit_code == 0, result.stderr
        assert len(files(out)) == 20
        maps[protocol] = read(out / "Movie" / "bear" / "00005.png").astype(int)
    assert maps["paper"].shape == (60, 80)
    assert np.abs(maps["paper"] - maps["infer"]).max() > 0


def test_a_clip_model_accepts_a_set_of_pictures(sod, root, tmp_path, film_weights):
    words = ["--data", root, "--sets", "Toys", "-m", "stdnet", "-w", film_weights]
    result = sod("test", *words, "-o", tmp_path / "maps", "--batch", 2, *SMALL)
    assert result.exit_code == 0, result.stderr
    assert len(files(tmp_path / "maps")) == 3


def test_existing_maps_are_refused_resumed_or_replaced(sod, root, tmp_path, small_weights):
    out = tmp_path / "maps"
    words = ["test", "--data", root, "--sets", "Toys", "-o", out, "-w", small_weights, *SIZE]
    assert sod(*words).exit_code == 0
    first = files(out)
    refused = sod(*words)
    assert refused.exit_code == 2
    assert (
        "Toys holds 3 of these maps already; --resume keeps them and makes the rest"
        in refused.stderr
    )
    cut = out / "Toys" / "toy_1.png"
    cut.write_bytes(cut.read_bytes()[:-40])
    Image.new("L", (9, 9)).save(out / "Toys" / "toy_2.png")
    (out / "Toys" / ".sod-left.png").write_bytes(b"")
    (out / "Toys" / "toy_0.png").touch()
    stamp = (out / "Toys" / "toy_0.png").stat().st_mtime_ns
    resumed = sod(*words, "--resume")
    assert "2 maps written, 1 there already" in resumed.stderr
    assert files(out) == first
    assert (out / "Toys" / "toy_0.png").stat().st_mtime_ns == stamp
    assert "3 maps written, 0 there already" in sod(*words, "--overwrite").stderr
    assert files(out) == first


def test_a_sequence_is_resumed_with_its_neighbours(sod, root, tmp_path, film_weights):
    out = tmp_path / "maps"
    words = [
        "test",
        "--data",
        root / "Movie",
        "-o",
        out,
        "-m",
        "stdnet",
        "-w",
        film_weights,
        *SMALL,
    ]
    assert sod(*words).exit_code == 0
    first = files(out)
    (out / "Movie" / "bear" / "00004.png").unlink()
    resumed = sod(*words, "--resume")
    assert "1 map written, 19 there already" in resumed.stderr
    assert files(out) == first


def test_maps_of_two_models_are_never_mixed(sod, root, tmp_path, small_weights):
    out = tmp_path / "maps"
    words = ["test", "--data", root, "--sets", "Toys", "-o", out, *SIZE]
    assert sod(*words, "-w", small_weights).exit_code == 0
    other = tmp_path / "other.pth"
    entries = manifest("stdnet/manifest_sdnet.json")["training"]
    torch.save(rule_weights(entries, seed=1), other)
    mixed, unasked = sod(*words, "-w", other, "--resume"), sod(*words, "-w", other)
    assert mixed.exit_code == unasked.exit_code == 2
    assert mixed.stderr.splitlines()[-1] == unasked.stderr.splitlines()[-1]
    assert "3 maps that were not made with these weights and settings" in mixed.stderr
    assert "choose another -o, or --overwrite" in mixed.stderr
    (root / "Toys" / "images" / "toy_0.jpg").write_bytes(b"broken")
    assert sod(*words, "-w", other, "--overwrite").exit_code == 3
    assert sorted(files(out)) == ["Toys/toy_1.png", "Toys/toy_2.png"]  # none of the first weights
    (out / "Toys.json").unlink()
    assert sod(*words, "-w", other, "--resume").exit_code == 2


def test_a_damaged_picture_is_named_and_counted(sod, root, tmp_path, small_weights):
    broken = root / "Toys" / "images" / "toy_1.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    blind = root / "Movie" / "bear" / "GT" / "00003.png"
    blind.write_bytes(b"")
    out = tmp_path / "maps"
    words = ["test", "--data", root, "-o", out, "-w", small_weights, "--json", *SIZE]
    result = sod(*words)
    assert result.exit_code == 3
    assert f"error: {broken}: is damaged or no picture\n" in result.stderr
    assert result.stderr.endswith("warning: 2 of 23 pictures failed (listed above)\n")
    document = json.loads(result.stdout)
    assert [one["failed"] for one in document["sets"]] == [1, 1]
    assert {row["picture"] for row in document["errors"]} == {
        str(broken),
        str(root / "Movie" / "bear" / "images" / "00003.jpg"),
    }
    assert len(files(out)) == 21


def test_a_damaged_frame_does_not_stop_its_sequence(sod, root, tmp_path, film_weights):
    (root / "Movie" / "bear" / "images" / "00003.jpg").write_bytes(b"broken")
    out = tmp_path / "maps"
    words = ["--data", root, "--sets", "Movie", "-o", out, "-m", "stdnet", "-w", film_weights]
    result = sod("test", *words, *SMALL)
    assert result.exit_code == 3
    assert len(files(out)) == 19


def test_a_rotated_photo_is_oriented_like_its_mask(sod, tmp_path, small_weights):
    folder = tmp_path / "Turned"
    draw_pair(folder, "0", 0)
    draw_pair(folder, "1", 0)
    photo = folder / "images" / "1.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(draw_photo(0, (60, 80))[0]).save(photo, quality=95, exif=exif)
    result = sod("test", "--data", folder, "-o", tmp_path / "maps", "-w", small_weights, *SIZE)
    assert result.exit_code == 0, result.stderr
    maps = [read(tmp_path / "maps" / "Turned" / f"{at}.png") for at in range(2)]
    np.testing.assert_array_equal(*maps)


def test_a_jpeg_with_one_channel_is_a_grey_photo(sod, tmp_path, small_weights):
    """ECSSD contains one such file, and six photos without colour."""
    folder = tmp_path / "Grey"
    for name, mode in {"0": "L", "1": "RGB"}.items():
        draw_pair(folder, name, 0)
        photo = folder / "images" / f"{name}.jpg"
        Image.open(photo).convert("L").convert(mode).save(photo, quality=100, subsampling=0)
    result = sod("test", "--data", folder, "-o", tmp_path / "maps", "-w", small_weights, *SIZE)
    assert result.exit_code == 0, result.stderr
    maps = [read(tmp_path / "maps" / "Grey" / f"{at}.png").astype(int) for at in range(2)]
    np.testing.assert_allclose(*maps, atol=3)


def test_maps_have_the_size_of_the_ground_truth(sod, tmp_path, small_weights):
    draw_pair(tmp_path / "Odd", "0", 0)
    Image.new("L", (33, 21)).save(tmp_path / "Odd" / "GT" / "0.png")
    words = ["--data", tmp_path / "Odd", "-o", tmp_path / "maps", "-w", small_weights]
    assert sod("test", *words, *SIZE).exit_code == 0
    assert read(tmp_path / "maps" / "Odd" / "0.png").shape == (21, 33)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--sets", "ECSSD+Toys"], 4, "no set 'ECSSD' with pictures and ground truth under"),
        (["--data", "nowhere"], 4, "--data nowhere: no such folder"),
        (["-m", "sdnt"], 2, "no model named 'sdnt'. Did you mean 'sdnet'?"),
        (["--size", "8"], 2, "size 8: the network needs at least 32 pixels"),
        (["-o", "{file}"], 1, "cannot write {file}"),
    ],
)
def test_usage_errors_are_one_line(sod, root, tmp_path, small_weights, words, code, text):
    (tmp_path / "file").write_text("here")
    words = [word.format(file=tmp_path / "file") for word in words]
    usual = ["--data", root, "-o", tmp_path / "maps", "-w", small_weights, "--device", "cpu"]
    result = sod("test", *usual, *words)
    assert result.exit_code == code
    assert text.format(file=tmp_path / "file") in result.stderr
    assert result.stderr.count("error: ") == 1
    assert not list((tmp_path).rglob("maps/*/*.png"))


def test_verbose_reports_settings_and_oddities(sod, root, tmp_path, small_weights):
    (root / "Toys").rename(root / "ECSSD")
    (root / "ECSSD" / "GT" / "toy_1.png").unlink()
    words = ["test", "--data", root / "ECSSD", "-w", small_weights, *SIZE]
    loud = sod(*words, "-o", tmp_path / "a", "-v")
    assert f"weights {small_weights}, seen at 64x64" in loud.stderr
    assert "1 without a mask: toy_1.jpg" in loud.stderr
    assert "ECSSD: 2 annotated pictures, ECSSD was published with 1000" in loud.stderr
    quiet = sod(*words, "-o", tmp_path / "b", "-q")
    assert (quiet.stderr, quiet.stdout) == ("", f"{tmp_path / 'b' / 'ECSSD'}\n")


def test_only_the_first_of_several_processes_prints_shared_messages(
    sod, root, tmp_path, monkeypatch
):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = sod("test", "--data", root, "--sets", "ECSSD", "-o", tmp_path / "maps")
    assert (result.exit_code, result.stderr) == (4, "")


def test_scores_follow_on_request(sod, root, tmp_path, small_weights):
    words = ["test", "--data", root, "-o", tmp_path / "maps", "-w", small_weights, "--eval", *SIZE]
    result = sod(*words, "--json")
    assert result.exit_code == 0, result.stderr
    found = {one["set"]: one for one in json.loads(result.stdout)["evaluation"]["results"]}
    assert found["Toys"]["images"] == 3
    assert found["Movie"]["protocol"] == "stdnet"
    truth = [cv2.imread(str(root / "Toys" / "GT" / f"toy_{at}.png"), 0) / 255 for at in range(3)]
    maps = [read(tmp_path / "maps" / "Toys" / f"toy_{at}.png") / 255 for at in range(3)]
    spread = [(m - m.min()) / (m.max() - m.min()) for m in maps]
    mae = np.mean([np.abs(m - t).mean() for m, t in zip(spread, truth, strict=True)])
    assert found["Toys"]["scores"]["MAE"] == pytest.approx(mae, abs=1e-6)
    mask = root / "Toys" / "GT" / "toy_1.png"
    whole = mask.read_bytes()
    mask.write_bytes(whole[:-40])
    damaged = sod(*words, "--resume")
    assert damaged.exit_code == 3
    assert "1 of 3 images are left out" in damaged.stderr
    mask.write_bytes(whole)
    (root / "Toys" / "images" / "toy_2.jpg").write_bytes(b"broken")
    (tmp_path / "maps" / "Toys" / "toy_2.png").unlink()
    table = sod(*words, "--resume")
    assert table.exit_code == 3
    assert "2 of 3" in table.stdout
    assert "1 of 3 maps are missing: toy_2" in table.stderr
    for at in range(2):
        (root / "Toys" / "images" / f"toy_{at}.jpg").write_bytes(b"broken")
    none = sod(*words, "--sets", "Toys", "-o", tmp_path / "none", "--json")
    assert none.exit_code == 3
    assert [one["failed"] for one in json.loads(none.stdout)["sets"]] == [3]


@pytest.fixture
def twins(tmp_path):
    """Two sets with the same name and different pictures of the same names."""
    for seed, name in enumerate("ab"):
        for at in range(2):
            draw_pair(tmp_path / "dup" / name / "TE", f"{at}", 10 * seed + at, (60 + at, 80))
    return tmp_path / "dup"


def test_sets_with_the_same_name_have_separate_maps_and_scores(sod, twins, tmp_path, small_weights):
    words = ["test", "--data", twins, "-w", small_weights, *SIZE]
    both = sod(*words, "-o", tmp_path / "maps", "--eval", "--json")
    assert both.exit_code == 0, both.stderr
    document = json.loads(both.stdout)
    assert [(one["set"], one["done"]) for one in document["sets"]] == [("a/TE", 2), ("b/TE", 2)]
    assert {one["output"] for one in document["sets"]} == {
        str(tmp_path / "maps" / name / "TE") for name in "ab"
    }
    scores = [(one["set"], one["scores"]) for one in document["evaluation"]["results"]]
    for name, found in scores:
        alone = ["test", "--data", twins / name, "-w", small_weights, *SIZE, "--eval", "--json"]
        result = json.loads(sod(*alone, "-o", tmp_path / name[0]).stdout)
        assert files(tmp_path / name[0] / "TE") == files(tmp_path / "maps" / name)
        assert result["evaluation"]["results"][0]["scores"] == found
    assert scores[0][1] != scores[1][1]


def test_a_run_over_sets_with_the_same_name_is_resumed(sod, twins, tmp_path, small_weights):
    out = tmp_path / "maps"
    words = ["test", "--data", twins, "-w", small_weights, "-o", out, *SIZE]
    assert sod(*words, "--sets", "b/te").stdout == f"{out / 'b' / 'TE'}\n"
    assert sorted(files(out)) == ["b/TE/0.png", "b/TE/1.png"]
    assert sod(*words).exit_code == 2
    resumed = sod(*words, "--resume")
    assert "a/TE: 2 maps written, 0 there already" in resumed.stderr
    assert "b/TE: 0 maps written, 2 there already" in resumed.stderr
    assert resumed.stdout == "".join(f"{out / name / 'TE'}\n" for name in "ab")
    assert "b/TE: 2 maps written, 0 there already" in sod(*words, "--overwrite").stderr
    first = sod(*words, "-o", tmp_path / "first", "--sets", "TE")
    assert "as other sets name b/TE" in first.stderr


def test_every_report_distinguishes_sets_with_the_same_name(sod, twins, tmp_path, small_weights):
    openpyxl = pytest.importorskip("openpyxl")
    maps, report = tmp_path / "maps", tmp_path / "report"
    words = ["--data", twins, "-w", small_weights, *SIZE]
    assert sod("test", *words, "-o", maps).exit_code == 0
    words = [word for kind in ("csv", "xlsx", "html") for word in ("-o", f"{report}.{kind}")]
    result = sod("eval", maps, twins, *words, "--json")
    assert (result.exit_code, result.stderr.count("warning")) == (0, 0), result.stderr
    found = {one["set"]: one["scores"]["MAE"] for one in json.loads(result.stdout)["results"]}
    assert found["a/TE"] != found["b/TE"]
    lines = report.with_suffix(".csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["a/TE", "b/TE"]
    page = report.with_suffix(".html").read_text()
    assert page.count("<h2>a/TE</h2>") == page.count("<h2>b/TE</h2>") == 1
    book = openpyxl.load_workbook(report.with_suffix(".xlsx"))
    assert [row[0].value for row in book["Scores"].iter_rows(min_row=2)] == ["a/TE", "b/TE"]
    heads = [cell.value for cell in book["Results"][1]]
    for name, mae in found.items():
        cell = book["Results"].cell(4, heads.index(name.upper()) + 3)
        assert cell.value == pytest.approx(mae)


@pytest.mark.slow
def test_two_processes_write_the_same_maps_as_one(sod, root, tmp_path, film_weights):
    (root / "Toys" / "images" / "toy_1.jpg").write_bytes(b"broken")
    words = ["--data", root, "-m", "stdnet", "-w", film_weights, *SMALL]
    alone = sod("test", *words, "-o", tmp_path / "one")
    assert alone.exit_code == 3
    first, second = start_team("test", *words, "-o", tmp_path / "two", "--json")
    out, told = first.communicate(timeout=900)
    assert second.communicate(timeout=900)[0] == ""
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert first.returncode == 3
    document = json.loads(out)
    assert [(one["done"], one["failed"]) for one in document["sets"]] == [(20, 0), (2, 1)]
    assert "warning: 1 of 23 pictures failed" in told


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are a thing of POSIX")
def test_a_run_that_is_killed_twice_can_be_resumed(sod, tmp_path, small_weights):
    for at in range(40):
        draw_pair(tmp_path / "Many", f"{at:03}", at)
    words = ["--data", tmp_path / "Many", "-w", small_weights, "--size", 192, *SIZE[2:]]
    out = tmp_path / "cut"
    cut_short([*words, "-o", out], signal.SIGKILL, out, done=2)
    assert 2 <= len(files(out / "Many")) < 30
    cut_short([*words, "-o", out, "--resume"], signal.SIGINT, out, done=len(files(out)) + 2)
    assert len(files(out / "Many")) < 40
    assert sod("test", *words, "-o", out, "--resume").exit_code == 0
    assert sod("test", *words, "-o", tmp_path / "whole").exit_code == 0
    assert files(out) == files(tmp_path / "whole")
    assert not list(out.rglob(".sod-*"))


def cut_short(words, blow, out, done):
    command = [sys.executable, "-m", "sodcli", "test", *map(str, words)]
    process = subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 900
    while len(list(out.rglob("[0-9]*.png"))) < done and time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(blow)
    process.communicate(timeout=900)
    assert process.returncode == (130 if blow == signal.SIGINT else -blow)


@pytest.mark.slow
def test_published_weights_on_photos_and_their_scores(sod, shared_data, tmp_path):
    """A few of the development images; all 297 are scored in test_published_scores."""
    weights = shared_data / "upstream" / "sdnet_from_scratch.pth"
    for part in ("images", "GT"):
        (tmp_path / "ECSSD-few" / part).mkdir(parents=True)
        for path in sorted((shared_data / "ECSSD-dev" / part).iterdir())[::20]:
            (tmp_path / "ECSSD-few" / part / path.name).symlink_to(path)
    words = ["--data", tmp_path, "--sets", "ECSSD-few", "-w", weights, "--threads", 1]
    result = sod("test", *words, "-o", tmp_path / "maps", "--eval", "--json")
    assert result.exit_code == 0, result.stderr
    (found,) = json.loads(result.stdout)["evaluation"]["results"]
    assert found["images"] == 15
    predictor = sodcli.load(weights=weights, device="cpu")
    for photo in sorted((tmp_path / "ECSSD-few" / "images").iterdir()):
        rgb = cv2.imread(str(photo))[..., ::-1]
        logits = predictor.backend.run(to_input(rgb, (320, 320))[None])[0, 0]
        wanted = np.rint(to_saliency(logits, rgb.shape[:2]) * 255)
        made = read(tmp_path / "maps" / "ECSSD-few" / f"{photo.stem}.png")
        assert np.abs(made - wanted).max() <= 1
    assert found["scores"]["maxF"] > 0.85
    assert found["scores"]["MAE"] < 0.08
