"""Metadata of weights files, read without PyTorch."""

import json
import os
import sys

import pytest
import torch
from safetensors.torch import save_file

from sodcli.errors import MissingError, WeightsError
from sodcli.weights.cache import read_metadata
from sodcli.weights.read import read_weights


def test_the_metadata_of_our_files(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3)}, path, {"model": "sdnet", "size": "208"})
    assert read_metadata(path) == {"model": "sdnet", "size": "208"}
    save_file({"a": torch.zeros(3)}, path)
    assert read_metadata(path) == {}


def test_other_files_have_no_metadata(tmp_path, small_weights):
    assert read_metadata(small_weights) == {}
    (tmp_path / "empty").write_bytes(b"")
    assert read_metadata(tmp_path / "empty") == {}
    (tmp_path / "long").write_bytes(b"\xff" * 8 + b"{")
    assert read_metadata(tmp_path / "long") == {}


def test_a_damaged_header_is_reported(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes((6).to_bytes(8, "little") + b"{broke" + b"n")
    with pytest.raises(WeightsError, match="damaged safetensors file"):
        read_metadata(path)
    (tmp_path / "x.onnx").write_bytes(bytes(100))
    with pytest.raises(WeightsError, match="not an ONNX file, or damaged"):
        read_metadata(tmp_path / "x.onnx")


@pytest.mark.parametrize("key", ["a", "__metadata__"])
def test_a_key_that_comes_twice_is_refused(tmp_path, key):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3)}, path, {"model": "sdnet"})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    again = json.dumps(header)[:-1] + f', "{key}": {json.dumps(header[key])}}}'
    path.write_bytes(len(again).to_bytes(8, "little") + again.encode() + data[8 + length :])
    for read in (read_metadata, read_weights):
        with pytest.raises(WeightsError, match=f"the key {key} comes twice"):
            read(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(MissingError, match="no such weights file"):
        read_metadata(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="not a file"):
        read_metadata(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs there")
def test_a_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="not a file"):
        read_metadata(tmp_path / "pipe")
