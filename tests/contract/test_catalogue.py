"""Entries of models.toml that can be fetched: addresses, models and keys."""

import re
from collections import Counter

import pytest
import torch

from sodcli.errors import RegistryError
from sodcli.models import build_model
from sodcli.models.restore import skip_init
from sodcli.registry import default_registry
from sodcli.weights.layouts import layout
from tests.conftest import manifest

REGISTRY = default_registry()
FETCHED = sorted(name for name, entry in REGISTRY.weights.items() if not entry.builtin)
MANIFESTS = {
    "sdnet": "stdnet/manifest_sdnet.json",
    "sdnet-a": "stdnet/manifest_sdneta.json",
    "stdnet": "stdnet/manifest_stdnet.json",
    "stdnet-a": "stdnet/manifest_stdneta.json",
    "inspyrenet": "inspyrenet/manifest_swinb.json",
    "inspyrenet-res2net50": "inspyrenet/manifest_res2net50.json",
    "minet": "minet/manifest_res50.json",
    "minet-vgg16": "minet/manifest_vgg16.json",
    "rcrnet": "rcrnet/manifest_video.json",
    "rcrnet-image": "rcrnet/manifest_image.json",
    "fgplg": "rcrnet/manifest_fgplg.json",
}


@pytest.mark.parametrize("name", FETCHED)
def test_an_entry_has_valid_addresses(name):
    entry = REGISTRY.weights[name]
    assert entry.page
    assert entry.license
    assert entry.trained_on
    for mirror in entry.mirrors:
        share = r"https://[\w-]+\.sharepoint\.com/[\w./:-]+\?e=\w+&download=1"  # names no file
        file = r"https://[a-z0-9.-]+\.[a-z]+/[\w./-]+" + re.escape(entry.file)
        assert re.fullmatch(rf"gdrive:[\w-]{{33}}|{share}|{file}", mirror)
    assert entry.mirrors or entry.by_hand or entry.file


def test_no_two_entries_are_the_same_file():
    hashes = Counter(entry.sha256 or entry.md5 for entry in REGISTRY.weights.values())
    assert [digest for digest, count in hashes.items() if digest and count > 1] == []
    first = Counter(entry.mirrors[0] for entry in REGISTRY.weights.values() if entry.mirrors)
    assert set(first.values()) == {1}


def test_every_published_checkpoint_is_there():
    """Eleven of InSPyReNet and three of transparent-background, ten of SDNet, three of RCRNet."""
    families = Counter(
        re.match(r"[a-z]+", REGISTRY.weights[name].model).group() for name in FETCHED
    )
    partial = [name for name in FETCHED if REGISTRY.weights[name].partial]
    assert families["inspyrenet"] == 11 + 3 + 2
    assert families["sdnet"] + families["stdnet"] == 10
    assert families["minet"] == 2
    assert families["rcrnet"] + families["fgplg"] == 3
    assert len(partial) == 5


def test_every_model_has_weights_of_its_own():
    for name, spec in REGISTRY.models.items():
        assert spec.weights is not None, name
        assert not REGISTRY.weights[spec.weights].partial
        assert spec.input_hw[0] == spec.input_hw[1] or spec.task != "saliency"


def test_names_are_unique():
    """Only the default weights of a model may have its name."""
    for name in REGISTRY.weights.keys() & REGISTRY.models.keys():
        assert REGISTRY.models[name].weights == name
    sets = {name.casefold() for name in REGISTRY.datasets}
    assert not sets & REGISTRY.weights.keys()


def published(model):
    entries = manifest(MANIFESTS[model])
    entries = entries["training"] if isinstance(entries, dict) else entries
    return {entry[0]: torch.empty(entry[1], device="meta") for entry in entries}


def shapes(state):
    return {key: tuple(value.shape) for key, value in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(MANIFESTS))
def test_published_keys_are_exactly_those_of_the_network(model):
    spec, keys = REGISTRY.models[model], published(model)
    converted = layout(spec.layout).to_ours(keys)
    entries = [e for e in REGISTRY.weights.values() if e.model == model and not e.builtin]
    assert entries
    for args in {repr(sorted(e.args.items())): e.args for e in entries}.values():
        with skip_init():
            network = build_model(spec, {**converted.args, **args})
        assert shapes(converted.state) == shapes(network.state_dict())
    if "inspyrenet" in model:  # its backbone is also published separately
        alone = {k.removeprefix("backbone."): v for k, v in keys.items() if is_of_backbone(k)}
        started = shapes(layout(spec.layout).to_ours(alone).state)
        assert started.items() <= shapes(network.state_dict()).items()
        assert len(started) > 300


def is_of_backbone(key):
    return key.startswith("backbone.") and not re.match(r"backbone\.norm\d", key)


def test_published_keys_of_every_saliency_model_are_checked():
    """Except our own model, which has no published keys."""
    salient = {entry.model for entry in REGISTRY.weights.values()} - {"lite"}
    assert {name for name in salient if REGISTRY.models[name].task != "flow"} == MANIFESTS.keys()


def test_a_layout_that_is_not_there_is_named():
    with pytest.raises(RegistryError, match=r"no sodcli/weights/layouts/nosuch\.py$"):
        layout("nosuch")
