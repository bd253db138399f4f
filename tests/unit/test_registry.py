"""models.toml is checked at the door."""

import pytest

from sodcli.errors import RegistryError, UnknownNameError
from sodcli.registry import Registry, default_registry

GOOD = """
[models.toy]
arch = "sdnet"
input_hw = [64, 64]
layout = "sdnet"
license = "MIT"
paper = "none"

[weights.toy-1]
model = "toy"
file = "toy.pth"
trained_on = "nothing"
license = "MIT"
"""


def read(tmp_path, text):
    path = tmp_path / "models.toml"
    path.write_text(text)
    return Registry.read(path)


def test_entries_become_frozen_values(tmp_path):
    spec = read(tmp_path, GOOD).model("toy")
    assert spec.input_hw == (64, 64)
    assert spec.clip_len == 1
    with pytest.raises(AttributeError):
        spec.arch = "other"


def test_a_typo_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"'sdnt'\. Did you mean 'sdnet'\? Known: .*sdnet-a"):
        default_registry().model("sdnt")


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ('arch = "os.system"', "models.toy"),
        ("input_hw = [0, 64]", "models.toy"),
        ("input_hw = [64]", "models.toy"),
        ("surprise = 1", "models.toy"),
        ('sha256 = "abc"', "weights.toy-1"),
        ('file = "../toy.pth"', "weights.toy-1"),
        ('page = "http://example.org"', "weights.toy-1"),
        ('model = "nothing"', "weights.toy-1"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path, line, entry):
    key = line.split(" = ")[0]
    head, _, tail = GOOD.partition("[weights")
    part = head if entry.startswith("models") else "[weights" + tail
    changed = "\n".join([x for x in part.splitlines() if not x.startswith(key)] + [line, ""])
    with pytest.raises(RegistryError, match=rf"models\.toml \[{entry}\]"):
        read(tmp_path, GOOD.replace(part, changed))


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(RegistryError, match=r"\[models\.toy\].*'paper'"):
        read(tmp_path, GOOD.replace('paper = "none"\n', ""))


@pytest.mark.parametrize("text", ["[models", "[other]\nx = 1", "models = 3"])
def test_what_is_not_a_register_is_refused(tmp_path, text):
    with pytest.raises(RegistryError, match=r"models\.toml"):
        read(tmp_path, text)


def test_every_default_that_a_model_names_exists(registry):
    for spec in registry.models.values():
        assert spec.weights is None or registry.weights[spec.weights].model == spec.name
        assert spec.recipe is None or spec.recipe in registry.recipes
