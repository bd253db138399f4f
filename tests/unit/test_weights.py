"""Weights files: safe and strict reading; everything else is refused in one line."""

import pickle
import re
import zipfile

import pytest
import torch
from safetensors.torch import save_file

import sodcli
from sodcli.errors import MissingError, SinkError, WeightsError
from sodcli.fetch.weights import Supply
from sodcli.models.restore import identify, initialise, restore
from sodcli.runtime.model_source import find_network
from sodcli.weights.cache import home, locate, read_metadata
from sodcli.weights.download_settings import DownloadEvents
from sodcli.weights.layouts.sdnet import to_ours, to_published
from sodcli.weights.lockfile import Lockfile, Record
from sodcli.weights.read import read_pickle, read_weights
from sodcli.weights.save import save_weights
from tests.conftest import manifest, rare, rule_weights


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_hostile_pickle_does_not_run(tmp_path):
    trace = tmp_path / "trace"
    hostile = {"state_dict": Hostile(trace)}
    torch.save(hostile, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(hostile))
    for name, reason in (("a.pth", "could run code"), ("b.pth", "damaged")):
        with pytest.raises(WeightsError, match=reason):
            read_weights(tmp_path / name)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"hello, this is text", "not a weights file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "a Git LFS pointer",
        ),
        (b"\n<!DOCTYPE html><html><body>quota</body></html>", "a web page"),
        (b"PK\x03\x04 broken", "damaged"),
        (b"\x80\x02broken", "damaged|could run code"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{broken header", "damaged safetensors"),
    ],
)
def test_files_that_are_not_weights_are_refused(tmp_path, content, reason):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=reason):
        read_weights(path)


def test_a_zip_of_something_else_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as packed:
        for name in ("a.png", "b.png", "c.png", "d.png"):
            packed.writestr(f"maps/{name}", b"")
    says = r"a zip archive of other files \(maps/a.png, maps/b.png, maps/c.png and 1 more\), not"
    with pytest.raises(WeightsError, match=says):
        read_weights(tmp_path / "x.pth")


def _prefixed(prefix, state):
    return {f"{prefix}{key}": value for key, value in state.items()}


WRAPPINGS = {
    "compiled": lambda plain, _: _prefixed("_orig_mod.", plain),
    "compiled and parallel": lambda plain, _: {"net": _prefixed("module._orig_mod.", plain)},
    "compiled inside": lambda plain, _: {k.replace(".", "._orig_mod.", 1): plain[k] for k in plain},
    "Lightning": lambda plain, _: {
        "state_dict": {**_prefixed("model.", plain), "criterion.weight": torch.ones(3)},
        "optimizer_states": [{"state": {0: {"step": 1}}}],
        "epoch": 3,
    },
    "model_state_dict": lambda plain, _: {"model_state_dict": plain, "optimizer": {"lr": 0.1}},
    "params": lambda plain, _: {"params": plain},
    "nested": lambda plain, _: {"checkpoint": 1, "model": {"state_dict": plain}},
    "ema": lambda plain, other: {"model": other, "ema": {"decay": 0.9, "shadow": plain}},
    "ema in Lightning": lambda plain, other: {
        "state_dict": {**_prefixed("model.", other), **_prefixed("ema_model.module.", plain)}
    },
    "averaged model": lambda plain, _: {
        "model_ema": {"n_averaged": torch.tensor(5), **_prefixed("module.", plain)}
    },
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_a_checkpoint_in_any_usual_wrapping_is_the_plain_file(tmp_path, name):
    plain = {"backbone.conv.weight": torch.rand(2, 2), "head.bias": torch.rand(2)}
    other = {key: value + 1 for key, value in plain.items()}
    torch.save(WRAPPINGS[name](plain, other), tmp_path / "x.pth")
    raw = read_weights(tmp_path / "x.pth")
    assert raw.state.keys() == plain.keys()
    assert all(torch.equal(raw.state[key], plain[key]) for key in plain)
    assert raw.averaged is ("ema" in name or "averaged" in name)


def test_using_averaged_weights_is_reported(tmp_path, small_weights, registry):
    plain = read_weights(small_weights).state
    other = {key: value + 1 for key, value in plain.items()}
    torch.save({"model": other, "model_ema": plain}, tmp_path / "x.pth")
    notes = []
    supply = Supply(events=DownloadEvents(note=notes.append))
    for name in (None, "sdnet"):
        source = find_network(name, tmp_path / "x.pth", registry, supply, reparam=False)
        found = restore(source.spec, read_weights(small_weights), registry).state_dict()
        built = source.build().state_dict()
        assert all(torch.equal(built[key], found[key]) for key in found)
    assert (
        notes
        == [
            f"{tmp_path / 'x.pth'}: holds several sets of weights; the averaged ones (EMA) are used"
        ]
        * 2
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda keys: keys[6:], r"keys 6 missing \((\S+, ){4}\S+ and 1 more\)$"),
        (lambda keys: [*keys[1:], "a", "b"], r"keys 1 missing \(\S+\), 2 unknown \(a, b\)$"),
        (lambda keys: ["a", "b"], r"its key names are not of this model$"),
        *rare(
            (lambda keys: keys[1:], r"keys 1 missing \(.+\)$"),
            (lambda keys: [*keys, "head.extra"], r"keys 1 unknown \(head\.extra\)$"),
        ),
    ],
)
def test_keys_that_do_not_fit_are_named(tmp_path, small_weights, registry, change, says):
    whole = read_weights(small_weights).state
    keys = change(list(whole))
    torch.save({key: whole.get(key, torch.ones(1)) for key in keys}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=says):
        restore(registry.model("sdnet"), read_weights(tmp_path / "x.pth"), registry)


def test_a_file_cut_anywhere_is_refused(tmp_path, small_weights):
    whole = small_weights.read_bytes()
    path = tmp_path / "cut.pth"
    for share in range(1, 10):
        path.write_bytes(whole[: len(whole) * share // 10])
        with pytest.raises(WeightsError, match="damaged"):
            read_weights(path)


def test_a_header_length_that_looks_like_a_pickle_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    for spare in range(0, 257, 8):
        save_weights(path, {"a": torch.ones(2)}, {"model": "sdnet", "data": "x" * spare})
        if path.read_bytes()[0] == pickle.PROTO[0]:
            break
    assert path.read_bytes()[0] == pickle.PROTO[0]
    assert read_weights(path).metadata["model"] == "sdnet"


def test_a_folder_is_not_a_weights_file(tmp_path):
    with pytest.raises(WeightsError, match="not a file"):
        read_weights(tmp_path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, {"state_dict": {"a": "b"}}])
def test_a_pickle_without_a_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="state dict"):
        read_weights(tmp_path / "x.pth")


@pytest.mark.parametrize("wrap", [lambda s: {"state_dict": s}, *rare(dict, lambda s: {"model": s})])
@pytest.mark.parametrize("prefix", ["module.", *rare("")])
def test_published_wrappers_are_removed(tmp_path, registry, wrap, prefix):
    weights = rule_weights(manifest("stdnet/manifest_sdnet.json")["training"])
    torch.save(wrap({prefix + k: v for k, v in weights.items()}), tmp_path / "x.pth")
    raw = read_weights(tmp_path / "x.pth")
    net = restore(registry.model("sdnet"), raw, registry)
    assert torch.equal(net.backbone.block1_1.pdc.kernels[0], weights["block1_1.conv1.0.weight"])


@pytest.mark.parametrize("model", ["sdnet", "sdneta"])
def test_keys_go_to_the_published_layout_and_back(model):
    weights = rule_weights(manifest(f"stdnet/manifest_{model}.json")["training"])
    back = to_published(to_ours(weights).state)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], weights[key]) for key in weights)


@pytest.mark.slow
def test_the_model_of_a_file_is_recognised(tmp_path, registry):
    for model, name in (("sdnet", "sdnet"), ("sdneta", "sdnet-a")):
        torch.save(
            rule_weights(manifest(f"stdnet/manifest_{model}.json")["training"]), tmp_path / "x.pth"
        )
        assert identify(read_weights(tmp_path / "x.pth"), registry).name == name
        predictor = sodcli.load(weights=tmp_path / "x.pth", device="cpu", backend="torch")
        assert predictor.spec.name == name


def test_weights_of_another_model_are_named(registry, small_weights):
    with pytest.raises(WeightsError, match=r"weights of 'sdnet', not of 'sdnet-a'; add -m sdnet"):
        restore(registry.model("sdnet-a"), read_weights(small_weights), registry)


def test_a_missing_tensor_is_named(tmp_path, registry, small_weights):
    state = read_pickle(small_weights)
    del state["module.conv_reduces.0.conv.bias"]
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(decoder.conv_reduces.0.bias\)"):
        restore(registry.model("sdnet"), read_weights(tmp_path / "x.pth"), registry)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused(tmp_path, small_weights, value):
    state = read_pickle(small_weights)
    state["module.block2_1.conv2.bias"][3] = value
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"block2_1\.conv2\.bias .* not finite"):
        read_weights(tmp_path / "x.pth")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.zeros(3, device="meta"),
        torch.zeros(3, dtype=torch.float8_e4m3fn),
        torch.zeros(3, dtype=torch.complex64),
    ],
    ids=["sparse", "meta", "float8", "complex"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_tensor_without_plain_numbers_is_refused(tmp_path, tensor):
    torch.save({"good": torch.zeros(3, dtype=torch.bfloat16), "odd": tensor}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"x\.pth: odd is not a dense array"):
        read_weights(tmp_path / "x.pth")


def test_a_backbone_file_can_only_initialise(tmp_path, registry, small_weights):
    whole = read_pickle(small_weights)
    torch.save({k: v for k, v in whole.items() if "block" in k}, tmp_path / "backbone.pth")
    raw, spec = read_weights(tmp_path / "backbone.pth"), registry.model("sdnet")
    with pytest.raises(WeightsError, match="missing"):
        restore(spec, raw, registry)
    net = sodcli.load(
        "sdnet", weights=small_weights, device="cpu", backend="torch", reparam=False
    ).module
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    assert initialise(net, spec, raw, registry) == len(raw.state)
    kernel = whole["module.block3_1.conv1.2.weight"]
    assert torch.equal(net.backbone.block3_1.pdc.kernels[2], kernel)
    assert not net.decoder.conv_reduces[0].weight.any()


def test_our_files_have_metadata(tmp_path, registry, small_weights):
    spec = registry.model("sdnet")
    net = restore(spec, read_weights(small_weights), registry)
    path = tmp_path / "ours.safetensors"
    about = {"model": "sdnet", "form": "training", "args": '{"norm": "none"}'}
    save_weights(path, net.state_dict(), about, half=True)
    raw = read_weights(path)
    assert raw.metadata["sodcli"] == sodcli.__version__
    assert all(t.dtype == torch.float32 for t in raw.state.values())
    again = restore(spec, raw, registry)
    torch.testing.assert_close(again.state_dict(), net.state_dict(), rtol=1e-3, atol=1e-4)
    with pytest.raises(WeightsError, match="not of 'sdnet-a'; add -m sdnet"):
        restore(registry.model("sdnet-a"), raw, registry)


@pytest.mark.parametrize(
    "about",
    [
        {"args": "{"},
        {"args": "[1]"},
        {"args": "3"},
        {"args": '{"odd": 1}'},
        {"args": '{"backbone": "odd"}'},
        {"args": '{"norm": "odd"}'},
        {"args": '{"norm": [1]}'},
        {"form": "other"},
        {"size": "0"},
        {"size": "1000000"},
    ],
)
def test_damaged_metadata_is_an_error_of_the_file(tmp_path, registry, about):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"model": "sdnet", **about})
    with pytest.raises(WeightsError, match=r"x\.safetensors: damaged metadata \("):
        if "size" in about:
            find_network(None, path, registry).trained  # noqa: B018 - a property that reads
        restore(registry.model("sdnet"), read_weights(path), registry)


def test_a_failed_write_leaves_no_file(tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(SinkError, match="cannot write"):
        save_weights(tmp_path / "taken" / "x.safetensors", {"a": torch.zeros(1)}, {"model": "x"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken"]


def test_names_and_paths_are_found(tmp_path, monkeypatch, registry, small_weights):
    assert locate(str(small_weights), registry) == small_weights
    monkeypatch.setenv("SOD_HOME", str(tmp_path / "cache"))
    assert home() == tmp_path / "cache"
    with pytest.raises(MissingError, match=re.escape(str(tmp_path / "cache"))):
        locate("sdnet-duts", registry)
    with pytest.raises(MissingError, match="no such weights file"):
        locate("nowhere/x.pth", registry)
    with pytest.raises(MissingError, match="Did you mean 'sdnet-duts'"):
        locate("sdnet-dut", registry)


def test_a_file_of_the_wrong_size_in_the_cache_is_refused(registry):
    (home() / "weights").mkdir(parents=True)
    (home() / "weights" / "sdnet-duts.safetensors").write_bytes(b"half of it")
    Lockfile(home()).add("sdnet-duts", Record("https://x", 1, "0" * 64, 2_995_188, "0" * 64))
    with pytest.raises(MissingError, match=r"10 bytes instead of 2,995,188; run: sod fetch sdnet"):
        locate("sdnet-duts", registry)


@pytest.mark.slow
def test_weights_are_used_at_the_size_they_were_trained_at(tmp_path, registry, small_weights):
    net = restore(registry.model("sdnet"), read_weights(small_weights), registry)
    for size, expected in (("96", 96), ("", 320), ("many", 320)):
        about = {"model": "sdnet", "form": "training", "size": size}
        save_weights(tmp_path / "x.safetensors", net.state_dict(), about)
        predictor = sodcli.load(weights=tmp_path / "x.safetensors", device="cpu", backend="torch")
        assert predictor.size_hw == (expected, expected)
    assert sodcli.load(weights=tmp_path / "x.safetensors", device="cpu", size=64).size_hw == (
        64,
        64,
    )


def test_a_run_folder_in_place_of_weights_names_the_best_ones(tmp_path):
    with pytest.raises(WeightsError, match="a folder; name a weights file in it"):
        read_metadata(tmp_path)
    for name in ("last", "best"):
        (tmp_path / f"{name}.safetensors").touch()
    with pytest.raises(WeightsError, match=r"a folder; name .*best\.safetensors$"):
        read_metadata(tmp_path)
