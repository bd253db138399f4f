"""Clip models train on films, photos and both; a stopped and resumed run ends the same."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sodcli.errors import UsageError, WeightsError
from sodcli.models import build_model
from sodcli.models.restore import describe, restore
from sodcli.training.config import resolve
from sodcli.training.setup import find_training_data
from sodcli.weights.read import read_weights
from sodcli.weights.save import save_weights
from tests.training_kit import Listener, draw_pairs, run, same_weights, settings
from tests.unit.test_data_clips import draw_film

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw_pairs(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for seed, name in enumerate(["bird", "car", "dog"]):
        draw_film(root / name / "images", root / name / "GT", 6, seed)
    return root


def clip_settings(*folders, **changes):
    """Return a config of one epoch of STDNet on clips of three frames at 32 px."""
    small = {"model": "stdnet", "data": [str(folder) for folder in folders], "clip_len": 3}
    small |= {"args": {"norm": "sum"}}  # the faster form of the same network
    return settings(folders[0], **{**small, "epochs": 1, "motion": 0.7, "gaps": [1, 2], **changes})


@pytest.mark.parametrize("kinds", [("photos",), ("films",), ("photos", "films")])
def test_clip_models_train_on_photos_films_and_both(kinds, tmp_path, request, registry):
    folders = [request.getfixturevalue(kind) for kind in kinds]
    listener = Listener()
    folder = run(clip_settings(*folders), tmp_path / "run", listener)
    # six frames give two clips of consecutive frames and two of every other frame
    assert listener.plan.train == 6 * ("photos" in kinds) + 8 * ("films" in kinds)
    assert listener.plan.held == 2 * ("photos" in kinds) + 2 * ("films" in kinds)
    assert np.isfinite([report.loss for report in listener.steps]).all()
    assert 0 <= listener.rows[0]["MAE"] <= 1
    module = restore(registry.model("stdnet"), read_weights(folder.last), registry)
    assert module(torch.zeros(1, 8, 3, 32, 32)).logits.shape == (1, 8, 1, 32, 32)


def test_a_stopped_and_resumed_run_ends_bitwise_the_same(photos, films, tmp_path):
    config = clip_settings(photos, films, ema=0.9, sample_every=1)
    whole = run(config, tmp_path / "whole")
    stop = Listener(lambda step: signal.raise_signal(signal.SIGINT) if step == 2 else None)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "cut", stop)
    cut = run(config, tmp_path / "cut", resume=True)
    assert same_weights(cut.last, whole.last)
    assert cut.rows()[0]["MAE"] == whole.rows()[0]["MAE"]
    assert cut.sheet(1).read_bytes() == whole.sheet(1).read_bytes()


def test_the_loss_falls(photos, tmp_path):
    listener = Listener()
    run(clip_settings(photos, epochs=6, validate_every=6, lr=3e-3), tmp_path / "run", listener)
    losses = [report.loss for report in listener.steps]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_the_backbone_of_an_sdnet_can_initialise_stdnet(photos, tmp_path, registry):
    spec, args = registry.model("sdnet"), {"backbone": "sdnet", "norm": "sum"}
    image_model = build_model(spec, args)
    path = tmp_path / "image.safetensors"
    save_weights(path, image_model.state_dict(), describe(spec, image_model, args))
    still = {"groups": [{"lr": 1e-30}]}
    folder = run(clip_settings(photos, init=str(path), optimizer=still), tmp_path / "run")
    learnt = load_file(folder.last)
    for name, tensor in image_model.state_dict().items():
        if name.startswith("backbone.") and "running" not in name and "tracked" not in name:
            torch.testing.assert_close(learnt[name], tensor, rtol=0, atol=1e-20)


def test_a_network_gets_the_norm_of_the_weights_it_starts_from(photos, tmp_path, registry):
    spec = registry.model("sdnet")
    image_model = build_model(spec)
    path = tmp_path / "image.safetensors"
    save_weights(path, image_model.state_dict(), describe(spec, image_model, spec.args))
    listener, still = Listener(), {"groups": [{"lr": 1e-30}]}
    config = clip_settings(photos, init=str(path), optimizer=still, args={}, epochs=1)
    folder = run(config, tmp_path / "run", listener)
    assert 'stdnet is built with norm = "none", as the weights of --init are' in listener.notes[0]
    learnt, backbone = load_file(folder.last), image_model.backbone.state_dict()
    for name, tensor in backbone.items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(learnt[f"backbone.{name}"], tensor, rtol=0, atol=1e-20)
    assert folder.read().args == {"norm": "none"}
    run(replace(config, epochs=2, args={"norm": "none"}), tmp_path / "run", resume=True)
    with pytest.raises(WeightsError, match=r'it has norm = "none"; args = \{ norm = "none" \} in'):
        run(clip_settings(photos, init=str(path), args={"norm": "sum"}), tmp_path / "other")


def test_the_clip_length_comes_from_the_model_or_the_recipe(registry):
    def clip_len(model, **changes):
        return resolve(registry, {"model": model, "data": ["x"], **changes}).clip_len

    assert clip_len("stdnet") == 8
    assert clip_len("stdnet", recipe="stdnet-built-in") == 4
    assert clip_len("sdnet") == 1
    with pytest.raises(UsageError, match="'stdnet' takes clips of a film"):
        clip_len("stdnet", clip_len=1)
    with pytest.raises(UsageError, match="'sdnet' takes pictures"):
        clip_len("sdnet", clip_len=8)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"gaps": []}, "gaps must"), ({"gaps": [0]}, "gaps must"), ({"motion": 1.5}, "motion must")],
)
def test_wrong_settings_are_named(photos, wrong, message):
    with pytest.raises(UsageError, match=message):
        clip_settings(photos, **wrong)


def test_validation_films_are_cut_into_the_clips_of_the_paper(photos, films, registry):
    data = find_training_data(clip_settings(photos, val=[str(films)]), registry)
    assert {len(clip.pairs) for clip in data.held} == {3}
    assert len(data.train) == 8


def test_other_gaps_are_other_training_data(films, registry):
    plans = (clip_settings(films, gaps=gaps) for gaps in ([1], [2]))
    names = [list(find_training_data(plan, registry).names()) for plan in plans]
    assert names[0] != names[1]
