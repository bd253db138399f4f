import csv
import itertools
import json
import os
import shutil
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from sodcli.errors import (
    MissingError,
    PipelineError,
    SourceError,
    TrainingError,
    UsageError,
    WeightsError,
)
from sodcli.models.restore import restore
from sodcli.training.config import read_config
from sodcli.training.config import resume as resume_config
from sodcli.training.run_folder import RunFolder
from sodcli.weights.read import read_pickle, read_weights
from tests.training_kit import Listener, draw_pairs, run, same_weights, settings

pytestmark = pytest.mark.slow
PLAIN_SGD = {"name": "sgd", "momentum": 0.0, "groups": []}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return draw_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def finished(pairs, tmp_path_factory):
    """Two epochs of three steps, never interrupted."""
    listener = Listener()
    root = tmp_path_factory.mktemp("runs") / "whole"
    return run(settings(pairs, sample_every=2, samples=2), root, listener), listener


def interrupt_at(*steps):
    return Listener(lambda step: signal.raise_signal(signal.SIGINT) if step in steps else None)


def test_a_run_writes_weights_metrics_and_settings(finished, pairs):
    folder, listener = finished
    assert [row["epoch"] for row in folder.rows()] == [1, 2]
    assert folder.rows() == listener.rows
    assert {"loss", "lr", "MAE", "maxF", "seconds", "images_per_s", "skipped"} <= folder.rows()[
        0
    ].keys()
    assert folder.rows()[0]["images"] == 6
    assert read_config(folder.root / "config.toml").data == (str(pairs),)
    names = {path.name for path in folder.root.iterdir()}
    assert names == {
        "config.toml",
        "last.pth",
        "last.safetensors",
        "best.safetensors",
        "metrics.csv",
        "metrics.jsonl",
        "samples",
    }


def test_the_reporter_gets_the_plan_and_every_step(finished):
    _, listener = finished
    assert (listener.plan.train, listener.plan.held) == (6, 2)
    assert (listener.plan.steps, listener.plan.epochs, listener.plan.done) == (6, 2, 0)
    assert [report.step for report in listener.steps] == [1, 2, 3, 4, 5, 6]
    assert all(report.images == 2 and report.lr == 1e-3 for report in listener.steps)
    losses = [report.loss for report in listener.steps[:3]]
    assert listener.rows[0]["loss"] == pytest.approx(np.mean(losses))


def test_written_weights_load_and_have_metadata(finished, registry):
    folder, _ = finished
    with safe_open(folder.best, framework="pt") as file:
        about = file.metadata()
    assert (about["model"], about["form"], about["recipe"]) == ("sdnet", "training", "sdnet")
    assert about["steps"] in {"3 of 6", "6 of 6"}
    assert about["size"] == "32"
    module = restore(registry.model("sdnet"), read_weights(folder.last), registry)
    assert module(torch.zeros(1, 3, 32, 32)).logits.shape == (1, 1, 32, 32)


def test_sample_sheets_show_photo_mask_and_map(finished):
    folder, _ = finished
    assert not folder.sheet(1).exists()
    sheet = np.asarray(Image.open(folder.sheet(2)))
    assert sheet.shape == (64, 96, 3)
    photo, truth = sheet[:32, :32].mean(2), sheet[:32, 32:64].mean(2)
    assert np.corrcoef(photo.ravel(), truth.ravel())[0, 1] > 0.8  # bright ellipse on dark noise


@pytest.mark.parametrize("steps", [(1,), (4,), (1, 4)])
def test_a_run_that_is_stopped_and_resumed_ends_bitwise_the_same(finished, pairs, tmp_path, steps):
    whole, _ = finished
    config = settings(pairs, sample_every=2, samples=2)
    for resume, step in zip((False, True), steps, strict=False):
        listener = interrupt_at(step)
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path / "run", listener, resume=resume)
        assert listener.steps[-1].step == step + 1  # the stop takes effect at the next step
    folder = run(config, tmp_path / "run", resume=True)
    assert same_weights(folder.last, whole.last)
    assert same_weights(folder.best, whole.best)
    for row, expected in zip(folder.rows(), whole.rows(), strict=True):
        for key in ("epoch", "step", "loss", "lr", "images", "MAE", "maxF"):
            assert row[key] == expected[key]


def test_interrupting_a_validation_loses_nothing(finished, pairs, tmp_path):
    whole, _ = finished
    config = settings(pairs, sample_every=2, samples=2)
    listener = Listener(lambda step: signal.raise_signal(signal.SIGTERM) if step == 3 else None)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "run", listener)
    assert not listener.rows  # the steps of the epoch are complete, its validation is not
    folder = run(config, tmp_path / "run", listener := Listener(), resume=True)
    assert listener.plan.done == 3
    assert same_weights(folder.last, whole.last)


def test_a_resume_keeps_weight_average_scales_and_accumulation(pairs, tmp_path):
    config = settings(pairs, epochs=1, ema=0.9, scales=[1.0, 1.5], accumulate=2)
    whole = run(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "cut", interrupt_at(3))
    assert same_weights(run(config, tmp_path / "cut", resume=True).last, whole.last)


def test_a_resume_keeps_the_scaler_of_fp16(tmp_path):
    few = draw_pairs(tmp_path / "pairs", count=3)  # float16 is slow on the CPU
    config = settings(few, epochs=1, batch=1, holdout=0.0, amp="fp16")
    whole = run(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "cut", interrupt_at(1))
    assert same_weights(run(config, tmp_path / "cut", resume=True).last, whole.last)
    scaler = read_pickle(whole.checkpoint)["learner"]["scaler"]
    assert scaler["_growth_tracker"] + (scaler["scale"] < 65536) > 0


def test_resuming_a_finished_run_changes_nothing(pairs, tmp_path):
    config = settings(pairs, epochs=1)
    folder = run(config, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.root.iterdir()}
    listener = Listener()
    run(config, tmp_path / "run", listener, resume=True)
    assert listener.steps == []
    assert {path: path.read_bytes() for path in folder.root.iterdir()} == before


def test_a_crash_in_the_middle_of_a_line_leaves_one_line_per_epoch(pairs, tmp_path):
    config = settings(pairs)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "run", interrupt_at(4))
    metrics = tmp_path / "run" / "metrics.jsonl"
    first = metrics.read_text()
    damaged = json.dumps({"epoch": 2, "loss": 1}) + '\n{"epoch": 2, "lo'
    metrics.write_bytes((first + damaged).encode() + b"\xff")
    folder = run(config, tmp_path / "run", resume=True)
    lines = metrics.read_text().splitlines()
    assert lines[0] == first.strip()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert folder.rows()[1]["step"] == 6


def test_a_folder_in_use_is_refused(finished, pairs):
    folder, _ = finished
    before = sorted(folder.root.iterdir())
    with pytest.raises(UsageError, match="is not empty; choose another -o, or add --resume"):
        run(settings(pairs), folder.root)
    assert sorted(folder.root.iterdir()) == before
    if os.name == "posix":
        with folder.locked(), pytest.raises(UsageError, match="another process trains there"):
            run(settings(pairs, sample_every=2, samples=2), folder.root, resume=True)


def test_a_checkpoint_of_another_optimiser_is_refused(finished, pairs, tmp_path):
    config = settings(pairs, optimizer=PLAIN_SGD)
    RunFolder(tmp_path).write(config)
    shutil.copy(finished[0].checkpoint, tmp_path)
    with pytest.raises(WeightsError, match=r"last\.pth: holds another network or optimiser"):
        run(config, tmp_path, resume=True)


def test_resuming_without_a_checkpoint_is_an_error(tmp_path):
    from sodcli.training.run_folder import RunFolder

    with pytest.raises(UsageError, match=r"nothing to resume .* no config\.toml"):
        RunFolder(tmp_path / "run").read()


def test_a_run_whose_pictures_changed_is_not_resumed(tmp_path):
    root = draw_pairs(tmp_path / "pairs")
    config = settings(root, epochs=1, holdout=0.0)
    run(config, tmp_path / "run")
    (root / "images" / "0.png").unlink()
    with pytest.raises(UsageError, match="pictures are not those"):
        run(config, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        (1e20, r"the loss became (nan|inf) at step 2, on "),
        (1e38, "a weight became NaN or infinite by step 1, on "),
    ],
)
def test_a_nan_loss_stops_the_run_and_keeps_the_checkpoint(pairs, tmp_path, lr, message):
    small = settings(pairs, epochs=1, optimizer=PLAIN_SGD, lr=1e-8)
    big = settings(pairs, optimizer=PLAIN_SGD, lr=lr)
    folder = run(small, tmp_path / "run")
    before = folder.checkpoint.read_bytes()
    with pytest.raises(TrainingError, match=message) as caught:
        run(big, tmp_path / "other", save_every=0)
    assert ".png" in str(caught.value)
    other = tmp_path / "other" / "last.pth"
    # The checkpoint after step 1 was good, or none was written.
    assert other.exists() == (lr == 1e20)
    assert folder.checkpoint.read_bytes() == before


def test_weights_that_became_nan_in_the_last_step_are_not_kept(pairs, tmp_path):
    with pytest.raises(TrainingError, match="a weight became NaN or infinite by step 1"):
        run(settings(pairs, optimizer=PLAIN_SGD, lr=1e38, batch=6), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.toml"]


def test_a_corrupt_photo_is_skipped_counted_and_reported(tmp_path):
    root = draw_pairs(tmp_path / "pairs")
    bad = root / "images" / "3.png"
    bad.write_bytes(bad.read_bytes()[:300])
    listener = Listener()
    folder = run(settings(root, holdout=0.0), tmp_path / "run", listener)
    assert len(listener.skipped) == 2
    assert all(str(bad) in reason for reason in listener.skipped)
    assert [row["skipped"] for row in folder.rows()] == [1, 1]
    assert [row["images"] for row in folder.rows()] == [7, 7]


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode on other systems")
def test_pictures_whose_names_are_not_utf_8_are_trained_on(tmp_path):
    root = draw_pairs(tmp_path / "pairs", count=2)
    for folder in ("images", "masks"):
        (root / folder / "1.png").rename(root / folder / os.fsdecode(b"caf\xe9.png"))
    config = settings(root, epochs=1, holdout=0.0)
    run(config, tmp_path / "run")
    listener = Listener()
    folder = run(config, tmp_path / "run", listener, resume=True)
    assert [row["images"] for row in folder.rows()] == [2]
    assert listener.steps == []


def test_jpegs_with_one_channel_are_trained_on(tmp_path):
    root = draw_pairs(tmp_path / "pairs")
    for png in (root / "images").iterdir():
        Image.open(png).convert("L").save(png.with_suffix(".jpg"))
        png.unlink()
    listener = Listener()
    folder = run(settings(root, holdout=0.0, epochs=1), tmp_path / "run", listener)
    assert not listener.skipped
    assert [row["images"] for row in folder.rows()] == [8]


def test_too_many_corrupt_photos_stop_the_run(tmp_path):
    root = draw_pairs(tmp_path / "pairs")
    for number in range(4):
        (root / "images" / f"{number}.png").write_bytes(b"gone")
    with pytest.raises(TrainingError, match="pictures could not be read in epoch 1"):
        run(settings(root, holdout=0.0), tmp_path / "run")


def test_no_readable_photo_at_all_is_an_error(tmp_path):
    root = draw_pairs(tmp_path / "pairs", count=2)
    for path in (root / "images").iterdir():
        path.write_bytes(b"gone")
    with pytest.raises(SourceError, match="no training picture can be read"):
        run(settings(root, holdout=0.0), tmp_path / "run")


@pytest.mark.parametrize("sample_every", [0, 1])
def test_validation_pictures_that_vanish_are_an_error(pairs, tmp_path, sample_every):
    val = draw_pairs(tmp_path / "val", count=1)
    config = settings(pairs, val=[str(val)], epochs=1, batch=8, sample_every=sample_every)
    with pytest.raises(SourceError, match="no validation picture can be read any more"):
        run(config, tmp_path / "run", Listener(lambda step: shutil.rmtree(val)))


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed.", PipelineError, "was killed"),
        ("[/gloo/transport/tcp/pair.cc:538] Connection closed by peer", PipelineError, "was lost"),
        ("Expected more than 1 value per channel when training", TrainingError, "raise --size"),
        ("something else", RuntimeError, "something else"),
    ],
)
def test_errors_of_pytorch_are_explained(pairs, tmp_path, words, kind, message):
    def fail(step):
        raise RuntimeError(words)

    with pytest.raises(kind, match=message):
        run(settings(pairs, epochs=1), tmp_path / "run", Listener(fail))


def test_unmatched_and_unreadable_validation_pairs_are_reported(tmp_path, pairs):
    val = draw_pairs(tmp_path / "val", count=3, seed=1)
    (val / "images" / "0.png").write_bytes(b"gone")
    (val / "masks" / "1.png").unlink()
    listener = Listener()
    run(settings(pairs, val=[str(val)], epochs=1), tmp_path / "run", listener)
    assert (listener.plan.train, listener.plan.held) == (8, 1)
    assert any("without a mask" in note for note in listener.notes)
    assert any("left out" in note for note in listener.notes)


def test_without_validation_only_the_last_weights_are_written(pairs, tmp_path):
    folder = run(settings(pairs, holdout=0.0, epochs=1), tmp_path / "run")
    assert not folder.best.exists()
    assert folder.last.exists()
    assert "MAE" not in folder.rows()[0]


def test_validation_runs_at_its_interval_and_at_the_end(pairs, tmp_path):
    folder = run(settings(pairs, epochs=3, validate_every=2, monitor="MAE"), tmp_path / "run")
    assert ["MAE" in row for row in folder.rows()] == [False, True, True]
    best = min(row["MAE"] for row in folder.rows()[1:])
    last_is_best = folder.rows()[2]["MAE"] == best
    assert same_weights(folder.best, folder.last) == last_is_best


def test_accumulated_gradients_equal_those_of_the_whole_batch(pairs, tmp_path):
    common = {"optimizer": PLAIN_SGD, "lr": 1e-5, "epochs": 1, "batch": 6}
    whole = run(settings(pairs, **common), tmp_path / "whole")
    cut = run(settings(pairs, accumulate=4, **common), tmp_path / "cut")
    start = run(settings(pairs, **{**common, "lr": 1e-300}), tmp_path / "start")
    a, b, c = (load_file(folder.last) for folder in (whole, cut, start))
    moved = max((a[key] - c[key]).abs().max() for key in a)
    apart = max((a[key] - b[key]).abs().max() for key in a)
    assert moved > 1e-4
    assert apart < 1e-6


def test_the_written_weights_are_the_average(pairs, tmp_path):
    common = {"optimizer": PLAIN_SGD, "lr": 1e-6, "epochs": 1}
    plain = run(settings(pairs, **common), tmp_path / "plain")
    averaged = run(settings(pairs, ema=0.5, **common), tmp_path / "averaged")
    a, b = load_file(plain.last), load_file(averaged.last)
    assert any(not torch.equal(a[key], b[key]) for key in a)
    trained = read_pickle(averaged.checkpoint)["learner"]["module"]
    assert all(torch.equal(a[key], trained[key]) for key in a)


def test_training_starts_from_given_weights(finished, pairs, tmp_path, small_weights):
    still = {"optimizer": PLAIN_SGD, "lr": 1e-300, "epochs": 1}
    folder, _ = finished
    again = run(settings(pairs, init=str(folder.last), **still), tmp_path / "ours")
    assert same_weights(again.last, folder.last)
    published = run(settings(pairs, init=str(small_weights), **still), tmp_path / "published")
    read = read_pickle(small_weights)
    key = "decoder.conv_reduces.0.weight"
    raw = next(v for k, v in read.items() if k.endswith("conv_reduces.0.conv.weight"))
    assert torch.equal(load_file(published.last)[key], raw)


def test_weights_to_start_from_must_be_there_and_fit(pairs, tmp_path):
    with pytest.raises(MissingError, match=r"gone\.pth"):
        run(settings(pairs, init="gone.pth"), tmp_path / "a")
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="does not fit sdnet"):
        run(settings(pairs, init=str(tmp_path / "other.pth")), tmp_path / "b")
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_without_pairs_no_run_folder_is_created(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match="no pair of picture and mask"):
        run(settings(tmp_path / "empty"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes", [{"amp": "bf16"}, {"args": {"norm": "sum"}}])
def test_training_lowers_the_loss(pairs, tmp_path, changes):
    config = settings(pairs, epochs=8, batch=6, holdout=0.0, **changes)
    rows = run(config, tmp_path / "run").rows()
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]


def test_equal_seeds_give_equal_weights(pairs, tmp_path):
    folders = [
        run(settings(pairs, epochs=1, seed=seed), tmp_path / str(number))
        for number, seed in enumerate((1, 1, 2))
    ]
    alike = [same_weights(a.last, b.last) for a, b in itertools.pairwise(folders)]
    assert alike == [True, False]


@pytest.mark.parametrize("schedule_end", [0, 2])
def test_a_finished_run_can_be_continued_for_more_epochs(pairs, tmp_path, schedule_end):
    """With a constant or restored schedule it equals, bitwise, a run of that length."""
    rates = {"schedule": {"name": "cosine" if schedule_end else "constant"}}
    once = run(settings(pairs, epochs=3, schedule_end=schedule_end, **rates), tmp_path / "once")
    first = settings(pairs, epochs=2, **rates)
    run(first, tmp_path / "twice")
    longer, remarks = resume_config(first, {"epochs": 3, "schedule_end": schedule_end})
    assert remarks == ()
    twice = run(longer, tmp_path / "twice", resume=True)
    assert same_weights(once.last, twice.last)
    assert twice.read() == longer
    assert [row["lr"] for row in twice.rows()] == [row["lr"] for row in once.rows()]


def test_another_learning_rate_applies_from_the_resume(pairs, tmp_path):
    first = settings(pairs, epochs=1)
    run(first, tmp_path / "run")
    slower, _ = resume_config(first, {"epochs": 2, "lr": first.lr / 10})
    folder = run(slower, tmp_path / "run", resume=True)
    assert [row["lr"] for row in folder.rows()] == pytest.approx([first.lr, first.lr / 10])


def test_the_loss_is_reported_per_pixel_too(finished):
    reporter = finished[1]
    for step in reporter.steps:
        assert step.pixel_loss == pytest.approx(step.loss / (32 * 32))
    assert 0 < reporter.rows[-1]["loss_per_pixel"] < 2


def test_metrics_are_written_as_csv(finished):
    folder = finished[0]
    with folder.metrics.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    assert float(rows[1]["loss"]) == folder.rows()[1]["loss"]


def test_a_schedule_that_never_lowers_the_rate_is_reported(finished, pairs, tmp_path):
    assert any("after epoch 90 and 150, which this run" in note for note in finished[1].notes)
    listener = Listener()
    reached = {"name": "multistep", "at": [1, 9], "gamma": 0.1}
    run(settings(pairs, schedule=reached), tmp_path / "run", listener)
    assert not any("learning rate" in note for note in listener.notes)
    assert [row["lr"] for row in listener.rows] == pytest.approx([1e-3, 1e-4])


def test_few_validation_photos_are_reported(finished):
    assert any("best.safetensors is a guess" in note for note in finished[1].notes)


def test_all_masks_are_checked_before_the_first_step(tmp_path):
    root = draw_pairs(tmp_path / "pairs")
    for mask in (root / "masks").iterdir():
        Image.fromarray(np.asarray(Image.open(mask)) // 255 * 7).save(mask)
    with pytest.raises(SourceError, match=r"all 6 masks are nowhere .*\(at most 7 of 255\)"):
        run(settings(root), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_masks_of_another_size_are_fitted_on_request(tmp_path):
    root = draw_pairs(tmp_path / "pairs")
    for mask in (root / "masks").iterdir():
        Image.open(mask).resize((24, 24), Image.Resampling.NEAREST).save(mask)
    with pytest.raises((TrainingError, SourceError)):
        run(settings(root, epochs=1), tmp_path / "no")
    listener = Listener()
    run(settings(root, epochs=1, fit_masks=True), tmp_path / "yes", listener)
    assert listener.skipped == []
    assert any("6 of 6 masks have another size" in note for note in listener.notes)


def test_tensorboard_gets_losses_scores_and_pictures(pairs, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from sodcli.training.report import Broadcast, TensorBoard

    config = settings(pairs, epochs=4, sample_every=1)
    folder = RunFolder(tmp_path / "run")
    run(config, folder.root, Broadcast(Listener(), TensorBoard(folder.events)))
    events = EventAccumulator(str(folder.events)).Reload()
    assert {"train/loss", "train/lr", "epoch/maxF", "epoch/MAE"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["samples"]
    assert [event.step for event in events.Scalars("epoch/loss")] == [3, 6, 9, 12]


def test_tensorboard_drops_what_a_killed_run_wrote_beyond_its_checkpoint(finished, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from sodcli.training.report import TensorBoard

    _, listener = finished
    for done, end, loss in ((0, 30, 1.0), (15, 20, 2.0)):
        board = TensorBoard(tmp_path)
        board.on_start(replace(listener.plan, done=done))
        for step in range(done + 1, end + 1):
            board.on_step(replace(listener.steps[0], step=step, pixel_loss=loss))
        board.on_epoch({"epoch": 1, "step": end})
    losses = EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")
    assert [(event.step, event.value) for event in losses] == [(10, 1.0), (20, 2.0)]


def test_films_annotated_with_a_palette_are_trained_on(tmp_path):
    """As in DAVIS 2017: two numbered objects, in red and green."""
    for film in ("bear", "goat"):
        for folder in ("JPEGImages/480p", "Annotations/480p"):
            (tmp_path / "DAVIS" / folder / film).mkdir(parents=True)
        for frame in range(4):
            mask = np.zeros((48, 48), np.uint8)
            mask[10:30, 5 + frame : 20 + frame], mask[10:30, 28:40] = 1, 2
            photo = Image.fromarray(np.dstack([60 + 80 * mask] * 3))
            photo.save(tmp_path / "DAVIS/JPEGImages/480p" / film / f"{frame:05}.jpg")
            objects = Image.fromarray(mask)
            objects.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
            objects.save(tmp_path / "DAVIS/Annotations/480p" / film / f"{frame:05}.png")
    listener = Listener()
    config = settings(tmp_path / "DAVIS", epochs=1, batch=4)
    folder = run(config, tmp_path / "run", listener)
    assert listener.plan.train + listener.plan.held == 8
    assert folder.best.exists()
    assert not any("masks" in note for note in listener.notes)
