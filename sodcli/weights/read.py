"""Read weights files without executing code in them."""

import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sodcli.errors import WeightsError
from sodcli.text import display_name, reason_of, shortened
from sodcli.weights.cache import read_metadata, require_file

_ZIP: Final = b"PK"
_PICKLE: Final = b"\x80"
_EMA: Final = ("model_ema", "ema_model", "ema", "ema_state_dict", "state_dict_ema", "params_ema")
_WRAPPERS: Final = (
    *_EMA,  # preferred: averaged weights are the ones that are tested and published
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "net_state",
    "network",
    "params",
    "weights",
    "module",
    "shadow",  # of an EMA that stores its decay next to its weights
)
_DEPTH: Final = 4  # most levels of nested wrappers
_COMPILED: Final = "_orig_mod."  # added by torch.compile before the name of any module
_PARALLEL: Final = "module."
_PREFIXES: Final = (_PARALLEL, "model.", "net.", "network.")  # of training loops such as Lightning
_EMA_PREFIXES: Final = tuple(f"{name}." for name in _EMA)
_COUNTERS: Final = ("n_averaged", "num_updates", "decay")  # scalars stored with averaged weights
_LFS: Final = b"version https://git-lfs"
_ONNX: Final = b"\x08"  # the field ir_version
_PAGES: Final = (b"<!doctype", b"<html", b"<head", b"<?xml")
_TORCH_MEMBERS: Final = ("data.pkl", "constants.pkl", "version")


@dataclass(frozen=True, slots=True)
class RawWeights:
    """The tensors of a file under the keys in that file.

    Attributes:
        path: The file.
        state: Tensors by key; half-precision tensors are converted to float32. Prefixes that
            training loops add to every key (``module.``, ``model.``, ``_orig_mod.``) are removed.
        wrapper: Keys that led to ``state`` in a checkpoint, such as ``checkpoint.model_ema``;
            empty for a plain state dict.
        metadata: Metadata of a safetensors file; ours hold model, form, args, size, recipe, data,
            steps and sodcli. Empty for PyTorch files.
    """

    path: Path
    state: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    wrapper: str = ""

    @property
    def averaged(self) -> bool:
        """Whether ``state`` is the moving average (EMA) of the weights in the checkpoint."""
        return any(part in _EMA for part in self.wrapper.split("."))

    @property
    def ours(self) -> bool:
        """Whether the keys are those of our own modules."""
        return "model" in self.metadata


def read_weights(path: Path) -> RawWeights:
    """Read a safetensors file or a pickled state dict; the format is detected from the content.

    Raises:
        MissingError: If there is no such file.
        WeightsError: If it is empty, damaged, not a weights file, would run code, or contains
            tensors without plain numbers (sparse, quantised, complex, float8) or values that are
            not finite.
    """
    head = _head(path)
    if head.startswith((_ZIP, _PICKLE)) and not _has_header(path, head):
        _refuse_other_zip(path)
        raw = _unwrapped(path, read_pickle(path))
    elif head[8:9] == b"{":
        raw = _read_safetensors(path)
    else:
        raise WeightsError(f"{path}: {_what_it_is(head)}")
    for key, tensor in raw.state.items():
        if not _is_plain(tensor):
            raise WeightsError(f"{path}: {key} is not a dense array of floats or integers")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(f"{path}: {key} holds values that are not finite (NaN or infinity)")
    return raw


def read_pickle(path: Path) -> Any:
    """Read a file written by ``torch.save`` to the CPU; only plain containers and tensors.

    Raises:
        WeightsError: If it is damaged, or would run code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except Exception as error:  # a malicious file can raise any exception
        if "Weights only load failed" in str(error):
            reason = "refused, it holds more than tensors and could run code"
        else:
            reason = "damaged or not a PyTorch file"
        raise WeightsError(f"{path}: {reason}") from error


def _head(path: Path) -> bytes:
    require_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise WeightsError(f"{path}: {reason_of(error)}") from error
    if not head:
        raise WeightsError(f"{path}: empty file")
    return head


def _has_header(path: Path, head: bytes) -> bool:
    """Return True if the file starts with a safetensors header.

    The length field before the header can look like the start of a pickle.
    """
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length < path.stat().st_size


def _read_safetensors(path: Path) -> RawWeights:
    about = read_metadata(path)  # refuses a header that names a tensor twice
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: _widen(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
            return RawWeights(path, state, about)
    except (SafetensorError, OSError, struct.error, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged safetensors file ({error})") from error


def _what_it_is(head: bytes) -> str:
    """Return a description of a file that contains no weights, from its first bytes."""
    if head.startswith(_LFS):
        return "a Git LFS pointer, not the weights themselves; run: git lfs pull"
    if head.lstrip().lower().startswith(_PAGES):
        return "a web page (HTML), not weights; the download went wrong"
    if head.startswith(_ONNX):
        return "an ONNX graph; sod infer and sod test run it, but it holds no network to build"
    return "not a weights file (.safetensors or a PyTorch state dict)"


def _refuse_other_zip(path: Path) -> None:
    """Raise WeightsError for a zip file not written by PyTorch; PyTorch reports damaged ones."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return
    if not any(PurePosixPath(name).name in _TORCH_MEMBERS for name in names):
        holds = shortened(list(map(display_name, names)), 3)
        raise WeightsError(f"{path}: a zip archive of other files ({holds}), not weights")


def _unwrapped(path: Path, content: Any) -> RawWeights:
    """Return the state dict in a checkpoint of any common training loop."""
    led: list[str] = []
    while isinstance(content, dict) and len(led) < _DEPTH:
        key = next((one for one in _WRAPPERS if isinstance(content.get(one), dict)), None)
        if key is None or not content[key]:
            break
        content = content[key]
        led.append(key)
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path}: no state dict inside")
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        raise WeightsError(
            f"{path}: the state dict holds more than named tensors; of a run of sod train, use "
            "best.safetensors or last.safetensors"
        )
    if any(map(_is_averaged, content)) and not all(map(_is_averaged, content)):
        content = {key: value for key, value in content.items() if _is_averaged(key)}
        led.append(next(iter(content)).partition(".")[0])
    state = {key: _widen(value) for key, value in _bare_keys(content).items()}
    return RawWeights(path, state, wrapper=".".join(led))


def _is_averaged(key: str) -> bool:
    return key.startswith(_EMA_PREFIXES)


def _bare_keys(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Remove prefixes added by training loops and ``torch.compile``, and counters.

    If most keys have a prefix, keys without it belong to the training loop (losses, metrics) and
    are dropped.
    """
    kept = {key: value for key, value in state.items() if key not in _COUNTERS} or state
    bare = {re.sub(rf"(^|\.){_COMPILED}", r"\1", key): value for key, value in kept.items()}
    for prefix in (*_EMA_PREFIXES, *_PREFIXES):
        inside = {k.removeprefix(prefix): v for k, v in bare.items() if k.startswith(prefix)}
        if len(inside) * 2 > len(bare):
            return _bare_keys(inside)
    return {key.removeprefix(_PARALLEL): value for key, value in bare.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Return True for floats, integers and booleans that NumPy knows, in memory and dense."""
    try:
        return tensor.detach().numpy().dtype.kind in "fiub"
    except (RuntimeError, TypeError):
        return False


def _widen(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
