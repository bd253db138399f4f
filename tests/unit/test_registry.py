"""models.toml is validated when it is read."""

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

TOY = "[models.toy]"
OTHER = GOOD.replace("toy", "other")


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


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('weights = "nosuch"', "models.toy]: weights: no weights named 'nosuch'."),
        (
            'weights = "toy-2"',
            "models.toy]: weights: no weights named 'toy-2'. Did you mean 'toy-1'?",
        ),
        ('weights = "other-1"', "models.toy]: weights: 'other-1' are of 'other'"),
        ('recipe = "nosuch"', "models.toy]: recipe: no recipe named 'nosuch'."),
        ("clip_len = 0", "models.toy]: clip_len must be at least 1, not 0"),
        ('clip_len = "8"', "models.toy]: clip_len must be a whole number, not '8'"),
        ("clip_len = true", "models.toy]: clip_len must be a whole number, not True"),
        ("frame_gap = 0", "models.toy]: frame_gap must be at least 1, not 0"),
        ('args = "x"', "models.toy]: args must be a table, not 'x'"),
        ('minmax = "no"', "models.toy]: minmax must be true or false, not 'no'"),
        ("license = 3", "models.toy]: license must be a string, not 3"),
        ("arch = 3", "models.toy]: arch must be a string, not 3"),
        ("input_hw = [320.5, 320]", "models.toy]: input_hw must be a list of 2 whole numbers, not"),
        (
            'mean = ["a", "b", "c"]',
            "models.toy]: mean must be a list of 3 numbers, not ['a', 'b', 'c']",
        ),
        ("mean = [nan, 0, 0]", "models.toy]: mean must be finite, not [nan, 0, 0]"),
        ("std = [0, 1, 1]", "models.toy]: std must be above 0, not [0, 1, 1]"),
        ("high_res = 3", "models.toy]: high_res must be a table, not 3"),
        (
            'high_res = { short_side = "a", above = 1, multiple = 1 }',
            "models.toy]: high_res.short_side must be a whole number, not 'a'",
        ),
        ("high_res = { short_side = 1 }", "models.toy]: needs the key 'high_res.above'"),
        ('name = "other"', "models.toy]: unknown key 'name'"),
        ('weights.size = "big"', "weights.toy-1]: size must be a whole number, not 'big'"),
        ("weights.size = -1", "weights.toy-1]: size must be at least 1, not -1"),
        ("weights.input_size = 0", "weights.toy-1]: input_size must be at least 1, not 0"),
        ('weights.builtin = "yes"', "weights.toy-1]: builtin must be true or false, not 'yes'"),
        ("weights.mirrors = [1]", "weights.toy-1]: mirrors must be a list of strings, not [1]"),
        ('weights.mirrors = "x"', "weights.toy-1]: mirrors must be a list of strings, not 'x'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(tmp_path, line, says):
    head, line = ("[weights.toy-1]", line[8:]) if line.startswith("weights.") else (TOY, line)
    key = line.split(" = ")[0]
    text = "\n".join(row for row in GOOD.splitlines() if row.split(" = ")[0] != key)
    with pytest.raises(RegistryError) as caught:
        read(tmp_path, OTHER + text.replace(head, f"{head}\n{line}"))
    assert str(caught.value).startswith(f"models.toml [{says}")
    assert "\n" not in str(caught.value)


def test_valid_entries_are_accepted(tmp_path):
    """References to later entries, and integers in place of floats."""
    lines = 'weights = "toy-1"\nrecipe = "late"\nstd = [1, 1, 1]\nargs = { sides = [1, 2] }'
    text = GOOD.replace(TOY, f"{TOY}\n{lines}") + "\n[recipes.late]\nepochs = 1\n"
    spec = read(tmp_path, text).model("toy")
    assert (spec.weights, spec.recipe, spec.std) == ("toy-1", "late", (1, 1, 1))
    assert spec.args == {"sides": [1, 2]}


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(RegistryError, match=r"\[models\.toy\].*'paper'"):
        read(tmp_path, GOOD.replace('paper = "none"\n', ""))


@pytest.mark.parametrize("text", ["[models", "[other]\nx = 1", "models = 3"])
def test_files_that_are_not_a_registry_are_refused(tmp_path, text):
    with pytest.raises(RegistryError, match=r"models\.toml"):
        read(tmp_path, text)


def test_every_model_but_optical_flow_can_be_trained_by_default(registry):
    without = {spec.task for spec in registry.models.values() if spec.recipe is None}
    assert without == {"flow"}
