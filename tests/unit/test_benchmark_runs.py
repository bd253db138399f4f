"""``sod runs``: training runs side by side, from the files that they leave."""

import json
import os
import re
import sys

import numpy as np
import pytest
from PIL import Image

from sodcli.benchmark.runs import (
    as_page,
    differing_settings,
    progress_table,
    read_runs,
    settings_table,
)
from sodcli.errors import MissingError, UsageError


def make_run(folder, *, lr, scores, epochs=3):
    """Write a run folder; its maxF are ``scores``."""
    (folder / "samples").mkdir(parents=True)
    (folder / "config.toml").write_text(
        f'model = "sdnet"\nepochs = {epochs}\nlr = {lr}\n[optimizer]\nname = "adam"\n'
    )
    rows = [
        {
            "epoch": at,
            "loss": 9000 / at,
            "loss_per_pixel": 0.9 / at,
            "lr": lr,
            "images_per_s": 20.0,
            "maxF": score,
            "MAE": 1 - score,
        }
        for at, score in enumerate(scores, 1)
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"epoch": 9, "los']))
    for at in range(1, len(scores) + 1):
        sheet = np.full((64, 96, 3), 40 * at, np.uint8)
        Image.fromarray(sheet).save(folder / "samples" / f"epoch_{at:04d}.png")
    return folder


@pytest.fixture
def folders(tmp_path):
    return [
        make_run(tmp_path / "slow", lr=0.001, scores=[0.5, 0.7, 0.6]),
        make_run(tmp_path / "<fast>", lr=0.01, scores=[0.6, 0.8]),
    ]


def test_the_table_shows_best_scores_and_differing_settings(folders):
    runs = read_runs(folders)
    assert differing_settings(runs) == {"lr": [0.001, 0.01]}
    assert progress_table(runs) == (
        ["run", "epochs", "maxF", "MAE", "loss", "img/s"],
        [
            ["slow", "3 of 3", "0.7000 (epoch 2)", "0.3000 (epoch 2)", "0.3", "20"],
            ["<fast>", "2 of 3", "0.8000 (epoch 2)", "0.2000 (epoch 2)", "0.45", "20"],
        ],
    )
    assert settings_table(runs) == (["setting", "slow", "<fast>"], [["lr", "0.001", "0.01"]])


def test_the_page_shows_curves_and_photos_and_loads_no_other_files(folders):
    page = as_page(read_runs(folders))
    assert page.count('<svg class="chart"') == 4
    assert page.count("<polyline") == 8
    assert "Validation photos after epoch 2" in page  # the last that both have
    assert page.count("data:image/jpeg;base64,") == 2
    assert "&lt;fast&gt;" in page
    assert "<fast>" not in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)


def test_runs_with_the_same_name_are_distinguished(tmp_path):
    folders = [make_run(tmp_path / place / "run", lr=0.1, scores=[0.5]) for place in "ab"]
    assert [run.name for run in read_runs(folders)] == [str(folder) for folder in folders]


def test_a_folder_of_runs_stands_for_its_runs(tmp_path):
    folders = [make_run(tmp_path / f"run{n}", lr=0.1, scores=[0.5]) for n in (10, 2)]
    (tmp_path / "notes").mkdir()
    with (folders[0] / "metrics.jsonl").open("ab") as file:
        file.write(b'{"epoch": 4, "loss"\n\xff\xfe\n')  # truncated and damaged lines
    runs = read_runs([tmp_path])
    assert [run.folder for run in runs] == folders[::-1]
    assert len(runs[0].rows) == len(runs[1].rows)


def test_values_of_other_programs_that_are_no_numbers_are_left_out(tmp_path):
    folder = make_run(tmp_path / "run", lr=0.1, scores=[0.5])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('\n{"epoch": 2, "maxF": null, "MAE": NaN, "loss": "low", "images_per_s": []}\n')
        file.write(f'{{"epoch": 3, "loss": 1{"0" * 400}}}\n{{"epoch": 1{"0" * 400}, "loss": 1}}\n')
    config = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(re.sub(r"(?m)^epochs = .*", 'epochs = "x"', config))
    runs = read_runs([folder])
    ((name, progress, best, *_, loss, speed),) = progress_table(runs)[1]
    assert (name, progress, best, loss, speed) == ("run", "3 of 3", "0.5000 (epoch 1)", "-", "-")
    assert as_page(runs).count("<polyline") == 4


def test_groups_of_the_optimizer_do_not_widen_the_table(folders):
    with (folders[0] / "config.toml").open("a") as file:
        file.write('groups = [{ match = "bias", lr = 0.1 }, { match = "", lr = 1.0 }]\n')
    _, lines = settings_table(read_runs(folders))
    assert ["optimizer.groups", "2 (see config.toml)", "-"] in lines


def test_a_run_of_one_epoch_is_a_dot_and_the_epochs_are_whole(tmp_path):
    page = as_page(read_runs([make_run(tmp_path / "run", lr=0.1, scores=[0.5], epochs=1)]))
    dots = re.findall(r'<polyline[^>]* points="(\S+) (\S+)"', page)
    assert len(dots) == 4
    assert all(first == second for first, second in dots)
    assert re.findall(r'<text class="tick" [^>]*>([^<]+)<', page) == ["0", "1"] * 4


def test_usage_errors(sod, folders, tmp_path):
    with pytest.raises(MissingError, match="not a run of sod train"):
        read_runs([tmp_path / "slow" / "samples"])
    with pytest.raises(UsageError, match="given twice"):
        read_runs([folders[0], folders[0]])
    wrong = sod("runs", folders[0], "-o", tmp_path / "a.txt")
    assert wrong.exit_code == 2
    assert "name it FILE.html" in wrong.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode on other systems")
def test_the_page_of_a_run_whose_name_is_not_utf_8_is_written(sod, folders, tmp_path):
    odd = folders[0].rename(tmp_path / os.fsdecode(b"caf\xe9"))
    result = sod("runs", odd, "-o", tmp_path / "runs.html")
    assert result.exit_code == 0, result.stderr
    assert "<title>Runs caf?" in (tmp_path / "runs.html").read_text(encoding="utf-8")


def test_the_command_prints_the_table_and_writes_the_page(sod, folders, tmp_path):
    result = sod("runs", *folders, "-o", tmp_path / "runs.html")
    assert result.exit_code == 0, result.stderr
    heads = [line.split()[:3] for line in result.stdout.splitlines()]
    assert ["run", "epochs", "maxF"] in heads
    assert ["setting", "slow", "<fast>"] in heads
    assert f"wrote {tmp_path / 'runs.html'}" in result.stderr
    assert (tmp_path / "runs.html").read_text().startswith("<!doctype html>")
    document = json.loads(sod("runs", *folders, "--json").stdout)
    assert [run["settings"]["lr"] for run in document] == [0.001, 0.01]
    assert len(document[1]["epochs"]) == 2
