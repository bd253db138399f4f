"""``sod infer`` on files: outputs, messages and files that must not change."""

import io
import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import sodcli
from sodcli.runtime.device import processor
from sodcli.weights.save import save_weights
from tests.draw_kit import draw_photo


@pytest.fixture
def photos(tmp_path):
    """A folder of three photos, one of them in a sub-folder."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for seed, name in enumerate(["a.jpg", "b.png", "sub/c.webp"]):
        Image.fromarray(draw_photo(seed)[0]).save(folder / name)
    return folder


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(
    ("kind", "channels"), [("map", None), ("green", 3), ("rgba", 4), ("blur", 3), ("overlay", 3)]
)
def test_every_output_type_is_written_beside_the_photo(sod, photos, small_weights, kind, channels):
    result = sod("infer", photos / "a.jpg", "-t", kind, "-w", small_weights, "--device", "cpu")
    target = photos / f"a_{kind}.png"
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{target}\n"
    threads = torch.get_num_threads()
    device, _, rest = result.stderr.partition("\n")
    assert device.startswith(f"device: {processor(threads)}, float32, torch, ")  # and busy cores
    assert device.endswith("model sdnet")
    assert rest == f"{photos / 'a.jpg'}: nothing certain found\n"  # untrained
    shape = read(target).shape
    assert shape == ((90, 120) if channels is None else (90, 120, channels))


def test_any_picture_can_be_the_background(sod, tmp_path, photos):
    Image.fromarray(np.full((40, 40, 3), (10, 200, 30), np.uint8)).save(tmp_path / "grass.png")
    result = sod("infer", photos / "a.jpg", "-t", tmp_path / "grass.png", "-m", "sdnet")
    assert result.stdout == f"{photos / 'a_grass.png'}\n"
    out = read(photos / "a_grass.png").astype(int)
    saliency = sodcli.load("sdnet")(photos / "a.jpg")
    behind, subject = saliency < 0.01, saliency > 0.99
    assert behind.mean() > 0.5
    assert np.abs(out[behind] - (30, 200, 10)).max() <= 3
    assert subject.mean() > 0.05
    assert np.abs(out[subject] - read(photos / "a.jpg")[subject]).max() <= 3


def test_a_folder_is_put_on_white_as_jpeg(sod, photos, small_weights):
    words = [photos, "-t", "#FFFFFF", "--format", "jpg", "-w", small_weights]
    result = sod("infer", *words)
    made = photos.with_name("in_ffffff")
    assert result.stdout.split() == [str(made / "a_ffffff.jpg"), str(made / "b_ffffff.jpg")]
    with Image.open(made / "a_ffffff.jpg") as picture:
        assert picture.format == "JPEG"
    Image.fromarray(draw_photo(4)[0]).save(photos / "white", "PNG")
    result = sod("infer", photos / "a.jpg", "-t", photos / "white", "--dry-run", "--format", "jpg")
    assert result.stdout == f"{photos / 'a_white.jpg'}\n"


def test_the_map_equals_that_of_the_python_api(sod, photos, small_weights):
    sod("infer", photos / "a.jpg", "-t", "map", "-w", small_weights)
    saliency = sodcli.load("sdnet", weights=small_weights)(photos / "a.jpg")
    assert saliency.shape == (90, 120)
    assert saliency.dtype == np.float32
    assert np.array_equal(read(photos / "a_map.png"), np.rint(saliency * 255).astype(np.uint8))


def test_a_folder_is_mirrored(sod, photos, small_weights):
    result = sod("infer", photos, "-r", "-w", small_weights, "--batch", 2)
    assert result.exit_code == 0
    made = sorted(p.relative_to(photos.parent) for p in photos.parent.rglob("*_rgba.png"))
    assert [p.as_posix() for p in made] == [
        "in_rgba/a_rgba.png", "in_rgba/b_rgba.png", "in_rgba/sub/c_rgba.png",
    ]  # fmt: skip
    assert len(result.stdout.splitlines()) == 3


def test_batches_give_the_same_maps_as_single_pictures(sod, photos, tmp_path, small_weights):
    for batch in (1, 3, "auto"):
        words = ["-r", "-t", "map", "-w", small_weights, "--batch", batch]
        sod("infer", photos, *words, "-o", tmp_path / str(batch))
    ones = sorted((tmp_path / "1").rglob("*.png"))
    assert len(ones) == 3
    for one in ones:
        for batch in ("3", "auto"):
            many = tmp_path / batch / one.relative_to(tmp_path / "1")
            assert np.abs(read(one).astype(int) - read(many)).max() <= 1


@pytest.mark.parametrize("batch", [0, -1, "many", ""])
def test_a_batch_is_a_number_or_auto(sod, photos, batch):
    result = sod("infer", photos, f"--batch={batch}")
    assert result.exit_code == 2
    assert "neither auto nor a number from 1 on" in result.stderr


def test_compress_changes_the_size_of_a_png_and_no_pixel(sod, photos, small_weights):
    made = {}
    for level in (None, 0, 9):
        out = photos.parent / f"level {level}.png"
        words = [] if level is None else ["--compress", level]
        sod("infer", photos / "a.jpg", "-t", "blur", "-w", small_weights, "-o", out, *words)
        made[level] = out
    size = {level: path.stat().st_size for level, path in made.items()}
    assert size[9] < size[None] < size[0]
    assert all(np.array_equal(read(path), read(made[9])) for path in made.values())


def test_what_exists_is_skipped_until_overwrite(sod, photos, small_weights):
    target = photos / "a_rgba.png"
    target.write_text("mine")
    result = sod("infer", photos / "a.jpg", "-w", small_weights)
    assert result.exit_code == 0
    assert not result.stdout
    assert "exists, skipped" in result.stderr
    assert target.read_text() == "mine"
    assert sod("infer", photos / "a.jpg", "-w", small_weights, "--overwrite").exit_code == 0
    assert read(target).shape == (90, 120, 4)


def test_many_existing_outputs_are_counted_without_loading_a_network(sod, photos):
    (photos / "sub" / "c.webp").unlink()
    made = photos.with_name("in_rgba")
    made.mkdir()
    (made / "a_rgba.png").touch()
    words = ["infer", photos, photos / "no.jpg", "-o", made, "-w", "none.pth"]
    plan = sod(*words[:3], "-o", made, "--dry-run")
    error = f"error: {photos / 'no.jpg'}: no such file"
    assert plan.exit_code == 3
    assert plan.stdout == f"{made / 'b_rgba.png'}\n"
    assert plan.stderr == f"{error}\n3 pictures: 1 to write, 1 to skip, 1 to fail\n"
    (made / "b_rgba.png").touch()
    result = sod(*words)
    assert result.exit_code == 3
    told, count = result.stderr.splitlines()
    assert told == error
    assert count == "3 pictures: 2 skipped, 1 failed; --overwrite replaces what exists"
    assert sod(*words, "-q").stderr == f"{error}\n"
    assert sod(*words, "-v").stderr.count("exists, skipped (--overwrite replaces)") == 2
    report = json.loads(sod(*words, "--json").stdout)
    assert (report["model"], report["device"], report["skipped"]) == (None, None, 2)
    stopped = sod(*words, "--fail-fast", "--overwrite", "-w", "none.pth")
    assert stopped.exit_code == 1
    assert stopped.stderr.endswith("\n3 pictures: 1 failed, 2 not begun\n")


def test_a_dry_run_needs_no_weights_and_writes_nothing(sod, photos):
    before = sorted(photos.rglob("*"))
    result = sod("infer", photos, "-r", "--dry-run")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    plan = json.loads(sod("infer", photos, "--dry-run", "--json").stdout)
    assert [row["status"] for row in plan["results"]] == ["write", "write"]
    assert sorted(photos.parent.rglob("*_rgba*")) == []
    assert sorted(photos.rglob("*")) == before


@pytest.mark.parametrize("words", [["b.png", "-o", "-"], ["-"]])
def test_json_and_a_picture_on_standard_output_are_refused(sod, photos, monkeypatch, words):
    monkeypatch.chdir(photos)
    result = sod("infer", *words, "--json", stdin=(photos / "b.png").read_bytes())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "cannot both go to standard output" in result.stderr


@pytest.mark.parametrize("words", [["-m", "raft-small"], ["-m", "fgplg"], ["-w", "raft-small"]])
@pytest.mark.parametrize("command", [["infer", "b.png"], ["test", "--data", ".", "-o", "maps"]])
def test_models_without_maps_are_refused_before_any_fetch(sod, photos, monkeypatch, command, words):
    monkeypatch.chdir(photos)
    result = sod(*command, *words)
    assert result.exit_code == 2
    assert "makes no saliency maps of its own" in result.stderr
    assert result.stderr.count("\n") == 1


def test_json_has_every_result(sod, photos, small_weights):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff not a photo")
    result = sod("infer", photos, "--json", "-w", small_weights)
    report = json.loads(result.stdout)
    assert result.exit_code == 3
    assert (report["done"], report["skipped"], report["failed"]) == (2, 0, 1)
    assert report["model"] == "sdnet"
    failed = next(row for row in report["results"] if row["status"] == "failed")
    assert failed["input"].endswith("broken.jpg")
    assert "broken.jpg" in failed["error"]


def test_one_bad_picture_does_not_stop_the_others(sod, photos, small_weights):
    (photos / "empty.png").touch()
    whole = (photos / "a.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "text.png").write_text("this is not a picture")
    result = sod("infer", photos, photos / "missing.jpg", "-w", small_weights, "-o", photos / "out")
    assert result.exit_code == 3
    for name in ("empty.png", "cut.jpg", "text.png", "missing.jpg"):
        assert sum(f"{name}: " in line for line in result.stderr.splitlines()) == 1
    assert result.stderr.endswith("\n6 pictures: 2 done, 4 failed\n")
    assert sorted(p.name for p in (photos / "out").iterdir()) == ["a_rgba.png", "b_rgba.png"]


def test_fail_fast_stops_at_the_first(sod, tmp_path, photos, small_weights):
    words = [tmp_path / "missing.jpg", *[photos / "a.jpg"] * 1, photos / "b.png"]
    result = sod("infer", *words, "-w", small_weights, "--fail-fast", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.count("error:") == 1


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["missing.jpg"], 1, "missing.jpg: no such file"),
        (["a.jpg", "--max-pixels", "100"], 1, "--max-pixels"),
        (["a.jpg", "-o", "x.jpg"], 2, "cannot write transparency to"),
        (["a.jpg", "-o", "x.docx"], 2, "x.docx"),
        (["a.jpg", "b.png", "-o", "x.png"], 2, "x.png"),
        (["a.jpg", "-t", "grean"], 2, "Did you mean 'green'?"),
        (["a.jpg", "-t", "picture"], 2, "no output type"),
        (["a.jpg", "-t", "whit"], 2, "Did you mean 'white'?"),
        (["a.jpg", "b.png", "--format", "jpg"], 2, "or a type without transparency, such as white"),
        (["a.jpg", "-t", "map", "-o", "a.jpg"], 2, "is the input itself; --overwrite replaces it"),
        (["*.tiff"], 1, "no file matches"),
        (["a.jpg", "-m", "sdnt"], 2, "Did you mean 'sdnet'?"),
        (["a.jpg", "-m", "sdnet-a"], 1, "weights of 'sdnet', not of 'sdnet-a'"),
        (["a.jpg", "--size", "8"], 2, "at least 32"),
        (["a.jpg", "--threshold", "1.5"], 2, "--threshold"),
    ],
)
def test_bad_input_is_one_line(sod, photos, monkeypatch, small_weights, words, code, text):
    monkeypatch.chdir(photos)
    result = sod("infer", *words, "-w", small_weights, "-q")
    assert result.exit_code == code
    assert text in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not result.stdout
    assert sorted(p.name for p in photos.iterdir()) == ["a.jpg", "b.png", "sub"]


@pytest.mark.parametrize(
    ("weights", "code", "text"),
    [
        ("nowhere.pth", 4, "no such weights file"),
        ("sdnet-duts", 4, "are not in"),
        ("sdnet-dut", 4, "Did you mean 'sdnet-duts'"),
    ],
)
def test_missing_weights_are_exit_4(sod, photos, monkeypatch, weights, code, text):
    monkeypatch.setenv("SOD_OFFLINE", "1")
    result = sod("infer", photos / "a.jpg", "-w", weights)
    assert result.exit_code == code
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_unwritable_folder_is_an_error(sod, photos, small_weights):
    (photos / "taken").write_text("a file, not a folder")
    result = sod("infer", photos / "a.jpg", "-w", small_weights, "-o", photos / "taken" / "x.png")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr
    assert (photos / "taken").read_text() == "a file, not a folder"


def test_stdin_to_stdout(photos, small_weights):
    words = ["infer", "-", "-o", "-", "-t", "map", "-w", str(small_weights)]
    result = subprocess.run(
        [sys.executable, "-m", "sodcli", *words],
        input=(photos / "a.jpg").read_bytes(), capture_output=True, check=True, timeout=900,
    )  # fmt: skip
    picture = Image.open(io.BytesIO(result.stdout))
    assert picture.format == "PNG"
    assert picture.size == (120, 90)


def test_a_threshold_gives_a_binary_mask(sod, photos, small_weights):
    soft = sodcli.load(weights=small_weights)(photos / "a.jpg")
    level = float(np.median(soft))
    sod("infer", photos / "a.jpg", "-t", "map", "-w", small_weights, "--threshold", level)
    hard = read(photos / "a_map.png")
    assert np.array_equal(hard, np.where(soft >= level, 255, 0))


def test_orientation_profile_and_transparency_are_kept(sod, tmp_path, small_weights):
    rgb, disc = draw_photo(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(rgb).save(tmp_path / "turned.jpg", exif=exif, icc_profile=profile)
    Image.fromarray(np.dstack([rgb, disc * np.uint8(255)])).save(tmp_path / "holes.png")
    result = sod("infer", tmp_path / "turned.jpg", tmp_path / "holes.png", "-w", small_weights)
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "turned_rgba.png") as turned:
        assert turned.size == (90, 120)
        assert turned.info["icc_profile"] == profile
    assert not read(tmp_path / "holes_rgba.png")[~disc, 3].any()


def test_a_network_with_nan_output_is_an_error(sod, photos, tmp_path, small_weights):
    net = sodcli.load(weights=small_weights, reparam=False).module
    state = {key: torch.full_like(value, 1e30) for key, value in net.state_dict().items()}
    save_weights(tmp_path / "huge.safetensors", state, {"model": "sdnet", "form": "training"})
    result = sod("infer", photos / "a.jpg", "-w", tmp_path / "huge.safetensors", "-q")
    assert result.exit_code == 1
    assert "not finite" in result.stderr
    assert not (photos / "a_rgba.png").exists()


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to a child on Windows")
def test_ctrl_c_leaves_whole_files_only(tmp_path, small_weights):
    folder = tmp_path / "many"
    folder.mkdir()
    for seed in range(200):
        Image.fromarray(draw_photo(seed)[0]).save(folder / f"{seed}.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "sodcli", "infer", str(folder), "-w", str(small_weights)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    made = list((tmp_path / "many_rgba").iterdir())
    assert 1 <= len(made) < 200
    assert all(read(path).shape == (90, 120, 4) for path in made)


def test_the_python_api_accepts_paths_arrays_and_images(photos, small_weights):
    predictor = sodcli.load("sdnet", weights=small_weights, device="cpu")
    path = photos / "b.png"
    expected = predictor(path)
    with Image.open(path) as picture:
        for image in (str(path), path.read_bytes(), picture, np.asarray(picture)):
            assert np.array_equal(predictor(image), expected)
    with torch.inference_mode():
        assert predictor.module(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 1, 64, 64)
    for wrong in (3, np.zeros((4, 4, 5), np.uint8), np.full((4, 4, 3), 1.5)):
        with pytest.raises(TypeError):
            predictor(wrong)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_the_python_api_accepts_every_pil_mode(small_weights, mode):
    predictor = sodcli.load("sdnet", weights=small_weights, device="cpu")
    rgb = Image.fromarray(draw_photo(1)[0])
    picture = rgb.convert("L").convert("I;16") if mode == "I;16" else rgb.convert(mode)
    saliency = predictor(picture)
    assert saliency.shape == (90, 120)
    assert 0 <= saliency.min() <= saliency.max() <= 1


def test_results_are_not_taken_as_inputs(sod, photos, small_weights):
    (photos / "IMG_1.cr3").write_bytes(b"\0\0\0\x18ftypcrx \0\0\0\0crx isom")
    words = ("infer", photos, "-r", "-o", photos / "cut", "-w", small_weights)
    sod("infer", photos / "a.jpg", "-t", "map", "-w", small_weights)
    first, again = sod(*words), sod(*words)
    assert first.exit_code == again.exit_code == 0, first.stderr
    made = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*_rgba.png"))
    assert made == ["cut/a_rgba.png", "cut/b_rgba.png", "cut/sub/c_rgba.png"]
    assert f"1 file in {photos} is a picture that sod cannot read: .cr3 (1)" in first.stderr
    assert f"left out what sod made beside its sources: {photos / 'a_map.png'}" in first.stderr
    named = sod("infer", photos / "IMG_1.cr3", "-w", small_weights, "-q")
    assert "not a picture sod can read" in named.stderr
    assert "convert it" in named.stderr
    quiet = sod(*words, "-q")
    assert not quiet.stderr


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminal on Windows")
def test_a_picture_is_never_written_to_a_terminal(photos):
    import pty

    main, screen = pty.openpty()
    words = [sys.executable, "-m", "sodcli", "infer", "-"]
    with (photos / "a.jpg").open("rb") as photo:
        run = subprocess.run(words, stdin=photo, stdout=screen, stderr=subprocess.PIPE, text=True)
    os.close(screen)
    os.close(main)
    assert (run.returncode, "-o FILE" in run.stderr) == (2, True)
