"""Choose the device that runs the network; never fall back in silence."""

import os
import re
from typing import Final

import torch

from sodcli.errors import DeviceError, UsageError

_KNOWN: Final = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def choose_device(wanted: str = "auto") -> torch.device:
    """Return the device called ``wanted``: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    ``auto`` takes CUDA, else MPS, else the CPU.

    Raises:
        UsageError: If it is not one of these words.
        DeviceError: If this machine or this PyTorch has no such device.
    """
    if not _KNOWN.fullmatch(wanted):
        raise UsageError(f"no device called {wanted!r}; use auto, cpu, cuda, cuda:N or mps")
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    if wanted.startswith("cuda"):
        _require_cuda(wanted, cuda)
    if wanted == "mps" and not mps:
        raise DeviceError("--device mps: no Apple GPU that PyTorch can use; use --device cpu")
    return torch.device(wanted)


def describe_device(device: torch.device, half: bool) -> str:
    """Return one line for the user: the device and the precision."""
    precision = "bfloat16" if half else "float32"
    if device.type == "cuda":
        return f"device: {device} ({torch.cuda.get_device_name(device)}), {precision}"
    if device.type == "cpu":
        return f"device: cpu ({torch.get_num_threads()} threads), {precision}"
    return f"device: {device}, {precision}"


def set_threads(count: int | None) -> None:
    """Let PyTorch use ``count`` threads; ``None`` means every core this process may use.

    ``OMP_NUM_THREADS`` in the environment counts as an answer, too.
    """
    if count is None and "OMP_NUM_THREADS" in os.environ:
        return
    if count is None:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(max(1, count or 1))


def _require_cuda(wanted: str, cuda: bool) -> None:
    if not cuda:
        built = torch.version.cuda is not None
        reason = "no GPU that PyTorch can use" if built else "this PyTorch has no CUDA"
        raise DeviceError(f"--device {wanted}: {reason}; use --device cpu")
    count = torch.cuda.device_count()
    if int(wanted.partition(":")[2] or 0) >= count:
        raise DeviceError(f"--device {wanted}: this machine has {count} CUDA device(s)")
