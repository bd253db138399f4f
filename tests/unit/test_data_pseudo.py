"""Frames and their pseudo labels become training pairs."""

import pytest

from sodcli.data.films import pseudo_pairs
from sodcli.errors import MissingError
from tests.sparse_film import draw_film


@pytest.fixture
def data(tmp_path):
    for film in ("one", "two"):
        folder = tmp_path / "data" / "toys" / film
        draw_film(folder / "images", folder / "GT", frames=6)
    return tmp_path / "data"


def write_label(labels, film, *stems):
    (labels / "toys" / film).mkdir(parents=True)
    for stem in stems:
        (labels / "toys" / film / f"{stem}.png").write_bytes(b"a label")


def test_only_frames_with_a_label_are_trained_on(data, tmp_path, registry):
    write_label(tmp_path / "1_5", "one", "00000", "00002", "00005")
    found = pseudo_pairs([str(data)], tmp_path / "1_5", registry.datasets)
    assert [pair.image.name for pair in found.pairs] == ["00000.jpg", "00002.jpg", "00005.jpg"]
    assert {pair.mask.parent for pair in found.pairs} == {tmp_path / "1_5" / "toys" / "one"}
    assert found.problems == (f"{tmp_path / '1_5'}: no labels of toys/two",)


def test_a_data_set_can_be_named_instead_of_its_root(data, tmp_path, registry):
    for film in ("one", "two"):
        write_label(tmp_path / "1_5", film, "00001")
    found = pseudo_pairs([str(data / "toys")], tmp_path / "1_5", registry.datasets)
    assert len(found.pairs) == 2
    assert not found.problems


def test_labels_of_other_films_are_ignored(data, tmp_path, registry):
    write_label(tmp_path / "1_5", "three", "00001")
    with pytest.raises(MissingError, match="no label of"):
        pseudo_pairs([str(data)], tmp_path / "1_5", registry.datasets)
    with pytest.raises(MissingError, match="sod pseudo-label makes it"):
        pseudo_pairs([str(data)], tmp_path / "9_9", registry.datasets)
