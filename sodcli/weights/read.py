"""Read weights files without ever running what is inside them."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sodcli.errors import MissingError, WeightsError
from sodcli.text import reason_of

_ZIP: Final = b"PK"
_PICKLE: Final = b"\x80"
_WRAPPERS: Final = ("state_dict", "model", "net_state")
_PARALLEL: Final = "module."


@dataclass(frozen=True, slots=True)
class RawWeights:
    """The tensors of a file under the names they have there.

    Attributes:
        path: The file.
        state: Tensors by key; half-precision ones are widened to float32, and the ``module.`` of
            data-parallel training is taken off.
        metadata: What our own files say of themselves (model, form, args, size, recipe, data,
            steps, sodcli); empty for published files.
    """

    path: Path
    state: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether the keys are those of our own modules."""
        return "model" in self.metadata


def read_weights(path: Path) -> RawWeights:
    """Read a safetensors file or a pickled state dict, told apart by content.

    Raises:
        MissingError: If there is no such file.
        WeightsError: If it is empty, damaged, not a weights file, would run code, or holds values
            that are not finite.
    """
    head = _head(path)
    if head.startswith((_ZIP, _PICKLE)) and not _has_header(path, head):
        raw = RawWeights(path, _state_of(path, read_pickle(path)))
    elif len(head) > 8 and head[8:9] == b"{":
        raw = _read_safetensors(path)
    else:
        raise WeightsError(f"{path}: not a weights file (.safetensors or a PyTorch state dict)")
    for key, tensor in raw.state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(f"{path}: {key} holds values that are not finite (NaN or infinity)")
    return raw


def read_pickle(path: Path) -> Any:
    """Read a file of ``torch.save``; plain containers and tensors only, on the CPU.

    Raises:
        WeightsError: If it is damaged, or holds anything that would have to be run.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except Exception as error:  # a hostile file can raise anything at all
        if "Weights only load failed" in str(error):
            reason = "refused, it holds more than tensors and could run code"
        else:
            reason = "damaged or not a PyTorch file"
        raise WeightsError(f"{path}: {reason}") from error


def _head(path: Path) -> bytes:
    if not path.exists():
        raise MissingError(f"{path}: no such weights file")
    if not path.is_file():
        raise WeightsError(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise WeightsError(f"{path}: {reason_of(error)}") from error
    if not head:
        raise WeightsError(f"{path}: empty file")
    return head


def _has_header(path: Path, head: bytes) -> bool:
    """Say whether a safetensors header follows its length, which may begin like a pickle."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length < path.stat().st_size


def _read_safetensors(path: Path) -> RawWeights:
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: _widen(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
            return RawWeights(path, state, file.metadata() or {})
    except (SafetensorError, OSError, struct.error, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged safetensors file ({error})") from error


def _state_of(path: Path, content: Any) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path}: no state dict inside")
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        raise WeightsError(f"{path}: the state dict holds more than named tensors")
    return {key.removeprefix(_PARALLEL): _widen(value) for key, value in content.items()}


def _widen(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
