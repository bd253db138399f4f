"""Write weights files atomically."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from sodcli import __version__
from sodcli.errors import SinkError
from sodcli.files import whole_file, write_whole


def save_weights(
    path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str], *, half: bool = False
) -> None:
    """Write a file in our own format: safetensors with metadata.

    Args:
        path: Target; written atomically.
        state: Tensors by the keys of our modules; by published keys for a backbone only.
        metadata: With ``model`` and ``form`` (``training`` or ``folded``), unless ``state`` is a
            backbone only; the version of this package is added.
        half: Store floating point tensors as float16.

    Raises:
        SinkError: If the file cannot be written.
    """
    tensors = {key: _stored(value, half) for key, value in state.items()}
    data = save(tensors, {**metadata, "sodcli": __version__})
    write_whole(path, data)


def save_pickle(path: Path, content: Any) -> None:
    """Write ``content`` atomically in the format of ``torch.save``.

    Raises:
        SinkError: If the file cannot be written.
    """
    try:
        with whole_file(path) as part:
            torch.save(content, part)
    except RuntimeError as error:  # raised by torch's writer on a full disk
        raise SinkError(f"cannot write {path}: the disk may be full") from error


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.is_floating_point() else tensor
