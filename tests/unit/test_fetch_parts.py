"""Entries of models.toml with more than a file's address, and how they are used."""

import json
from dataclasses import replace

import pytest
import torch

import sodcli
from sodcli.errors import MissingError, UsageError, WeightsError
from sodcli.fetch.catalogue import verify
from sodcli.fetch.convert import convert_weights
from sodcli.fetch.datasets import fetch_dataset
from sodcli.fetch.weights import Supply
from sodcli.registry import WeightsSpec
from sodcli.tables import read_table
from sodcli.weights.cache import home, stored
from sodcli.weights.download_settings import ExpectedFile, check
from sodcli.weights.lockfile import Lockfile, Record
from sodcli.weights.read import read_pickle, read_weights

GOOD = {"name": "x", "model": "sdnet", "trained_on": "DUTS-TR", "license": "MIT"}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"md5": "0" * 31}, "md5 must be 32"),
        ({"sha256": "A" * 64}, "sha256 must be 64"),
        ({"page": "http://example.org"}, "page must be an https address"),
        ({"mirrors": ("http://example.org/x.pth",)}, "mirrors must be https or gdrive"),
        ({"mirrors": ("https://example.org",)}, "mirrors must be https or gdrive"),
        ({"mirrors": ("gdrive:short",)}, "mirrors must be https or gdrive"),
        ({"mirrors": ("file:///etc/passwd",)}, "mirrors must be https or gdrive"),
        ({"name": "../x"}, "its name"),
        ({"name": "X"}, "its name"),
        ({"file": "a/b.pth"}, "file must be a bare name"),
        ({"builtin": True}, "needs its name"),
    ],
)
def test_a_wrong_entry_is_refused(changed, text):
    table = {**GOOD, **changed}
    name = table.pop("name")
    with pytest.raises(UsageError, match=text):
        read_table(WeightsSpec, table, name=name)


@pytest.mark.slow
def test_settings_of_an_entry_are_written_into_the_weights_file(tmp_path, registry, small_weights):
    entry = replace(
        registry.weights["sdnet-duts"], input_size=96, args={"norm": "none"}, terms="for research"
    )
    convert_weights(small_weights, tmp_path / "ours.safetensors", entry, registry)
    about = read_weights(tmp_path / "ours.safetensors").metadata
    assert json.loads(about["args"]) == {"norm": "none"}
    assert about["data"] == "DUTS-TR"
    assert sodcli.load(weights=tmp_path / "ours.safetensors", device="cpu").size_hw == (96, 96)


def test_entries_trained_at_1024_pixels_carry_that_size(registry):
    """Their entries set the input size, and the base size of the pyramid."""
    large = [e for e in registry.weights.values() if e.input_size == 1024]
    assert len(large) == 6
    assert all(entry.args == {"base_hw": [1024, 1024]} for entry in large)
    minets = [e for e in registry.weights.values() if e.model.startswith("minet")]
    assert all(entry.args == {"sim_residual": False} for entry in minets)


def test_a_backbone_file_initialises_every_model_with_that_backbone(
    tmp_path, registry, small_weights
):
    state = {k: v for k, v in read_pickle(small_weights).items() if "block" in k}
    torch.save(state, tmp_path / "backbone.pth")
    entry = replace(registry.weights["sdnet-stage1-backbone"], model="sdnet")
    convert_weights(tmp_path / "backbone.pth", tmp_path / "ours.safetensors", entry, registry)
    raw = read_weights(tmp_path / "ours.safetensors")
    assert not raw.ours
    assert raw.state.keys() == {k.removeprefix("module.") for k in state}
    state["module.surprise.block"] = torch.zeros(1)
    torch.save(state, tmp_path / "backbone.pth")
    with pytest.raises(WeightsError, match="no key of it is known"):
        convert_weights(tmp_path / "backbone.pth", tmp_path / "no.safetensors", entry, registry)
    assert not (tmp_path / "no.safetensors").exists()


def test_verify_reports_a_file_made_from_an_unpublished_one(registry):
    entry = registry.weights["sdnet-duts"]
    stored(entry).parent.mkdir(parents=True)
    stored(entry).write_bytes(b"ours")
    is_now = check(stored(entry), ExpectedFile(), "ours")
    record = Record("x.pth", 3, "0" * 64, is_now.size, is_now.sha256)
    Lockfile(home()).add(entry.name, record)
    ((name, problem),) = verify([entry, registry.weights["sdnet"], registry.datasets["ECSSD"]])
    assert name == "sdnet-duts"
    assert "made from a file that is not the published one; run: sod fetch" in problem
    Lockfile(home()).add(entry.name, replace(record, published_sha256=entry.sha256))
    assert list(verify([entry])) == [("sdnet-duts", "")]


def test_an_existing_data_set_is_never_overwritten(tmp_path, registry):
    (tmp_path / "DUTS-TE").mkdir()
    entry = registry.datasets["DUTS-TE"]
    assert fetch_dataset(entry, registry, tmp_path, Supply(offline=True)) == tmp_path / "DUTS-TE"
    with pytest.raises(MissingError, match="exists; move it away first"):
        fetch_dataset(entry, registry, tmp_path, Supply(force=True))
