"""The data sets of models.toml."""

import pytest

from sodcli.errors import RegistryError
from sodcli.registry import Registry

GOOD = """
[datasets.toy]
kind = "film"
title = "Toy"
paper = "none"
images = ["images"]
masks = ["GT"]
"""


@pytest.mark.parametrize(
    "line",
    [
        'kind = "sound"',
        'page = "http://example.org"',
        'mirrors = ["example.org/toy.zip"]',
        'archive = "nosuch"',
        'part = "val"',
        "pictures = 0",
        'pictures = "3"',
        'split = "bear"',
        'images = ["../images"]',
        'masks = ["/GT"]',
        "surprise = 1",
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path, line):
    key = line.split(" = ")[0]
    text = "\n".join([row for row in GOOD.splitlines() if not row.startswith(key)] + [line])
    (tmp_path / "models.toml").write_text(text)
    with pytest.raises(RegistryError, match=r"models\.toml \[datasets\.toy\]"):
        Registry.read(tmp_path / "models.toml")


def test_the_sets_of_the_papers_are_there(registry):
    assert {"ECSSD", "PASCAL-S", "DUT-OMRON", "HKU-IS", "DUTS-TE", "SOD"} < registry.datasets.keys()
    assert {"DAVIS-S", "HRSOD-TE", "UHRSD-TE", "DIS-VD", "DIS-TE4"} < registry.datasets.keys()
    films = {spec.name for spec in registry.datasets.values() if spec.kind == "film"}
    assert films == {"DAVIS", "DAVSOD", "VOS", "FBMS"}


def test_no_folder_name_belongs_to_two_sets(registry):
    for spec in registry.datasets.values():
        for name in (spec.name, *spec.folders):
            owners = [one.name for one in registry.datasets.values() if one.is_called(name)]
            assert owners == [spec.name]


def test_every_split_is_as_long_as_it_was_published(registry):
    for spec in registry.datasets.values():
        assert not spec.split or len(set(spec.split)) == spec.sequences
