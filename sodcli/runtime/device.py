"""Choose the device that runs the network, and the threads and memory management on a CPU."""

import ctypes
import math
import os
import platform
import re
import statistics
import sys
import time
from ctypes.util import find_library
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sodcli.errors import DeviceError, UsageError
from sodcli.text import plural

if TYPE_CHECKING:
    import torch

_KNOWN: Final = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]*))?")
# Device files of the drivers of NVIDIA, AMD and the Windows Subsystem for Linux.
_DRIVERS: Final = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/dev/nvhost-ctrl")
_NO_GPU: Final = ("", "-1")
_LOAD: Final = Path("/proc/loadavg")
_SAMPLES, _SAMPLE_S = 5, 0.01
_OWN_GROUP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def check_name(wanted: str) -> None:
    """Check the name of a device.

    Raises:
        UsageError: If :func:`choose_device` does not know it.
    """
    if not _KNOWN.fullmatch(wanted):
        raise UsageError(f"no device called {wanted!r}; use auto, cpu, cuda, cuda:N or mps")


def accelerator_likely() -> bool:
    """Return True if a GPU may be available; False if no GPU driver is installed.

    PyTorch is not imported, because that takes seconds.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in _NO_GPU:
        return False
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return find_library("nvcuda") is not None
    return any(Path(driver).exists() for driver in _DRIVERS)


def choose_device(wanted: str = "auto") -> "torch.device":
    """Return the device called ``wanted``: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    ``auto`` takes CUDA, else MPS, else the CPU.

    Raises:
        UsageError: If it is not one of these names.
        DeviceError: If this machine or this PyTorch has no such device.
    """
    check_name(wanted)
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    if wanted.startswith("cuda"):
        _require_cuda(wanted, cuda)
    if wanted == "mps" and not mps:
        raise DeviceError("device mps: no Apple GPU that PyTorch can use; use device cpu")
    return torch.device(wanted)


def describe_device(device: "torch.device", half: bool) -> str:
    """Return a description of the device and the precision for messages."""
    import torch

    precision = "bfloat16" if half else "float32"
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)}), {precision}"
    if device.type == "cpu":
        return f"{processor(torch.get_num_threads())}, {precision}"
    return f"{device}, {precision}"


def processor(threads: int) -> str:
    """Return the description of the CPU for messages."""
    return f"cpu ({plural(threads, 'thread')})"


def set_threads(count: int | None) -> None:
    """Set PyTorch's threads to ``count``; ``None`` means the default of :func:`thread_count`."""
    import torch

    if count is not None or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(thread_count(count))


def use_free_cores(count: int | None) -> str:
    """Set PyTorch's threads to ``count``, else lower them to the cores that are free now.

    PyTorch's threads wait for each other, so that one thread too many on a busy machine makes a
    network several times slower. ``OMP_NUM_THREADS`` is left as it is.

    Returns:
        A remark for the device line if other programs keep cores busy, else an empty string.
    """
    import torch

    if count is not None or "OMP_NUM_THREADS" in os.environ:
        set_threads(count)
        return ""
    usable = min(thread_count(), torch.get_num_threads())
    cores = os.cpu_count() or 1
    free = max(1, min(usable, cores - busy_cores()))
    torch.set_num_threads(free)
    return f", {cores - free} of {cores} cores are busy" if free < usable else ""


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next tensors instead of returning it to the system.

    The system clears every page that it hands out again, which takes a third of the time of a
    training step on a CPU. The process needs about a fifth more memory. Other C libraries stay as
    they are.
    """
    call_glibc("mallopt", _MMAP_MAX, 0)  # mapped memory is always returned
    call_glibc("mallopt", _TRIM_THRESHOLD, -1)


def call_glibc(function: str, *arguments: int) -> None:
    """Call a function that only glibc has; do nothing where there is another C library."""
    if sys.platform == "linux":
        found = getattr(ctypes.CDLL(None), function, None)
        if found is not None:
            found(*arguments)


def busy_cores() -> int:
    """Return how many cores other threads of this machine use now; 0 if that is not known.

    It is the number of threads that run or wait for a core, without the calling one: the median of
    five samples in 50 ms. Only Linux counts them.
    """
    running = []
    for _ in range(_SAMPLES):
        try:
            running.append(int(_LOAD.read_text().split()[3].partition("/")[0]))
        except (OSError, IndexError, ValueError):
            return 0
        time.sleep(_SAMPLE_S)
    return max(0, int(statistics.median(running)) - 1)


def thread_count(count: int | None = None) -> int:
    """Return ``count``, else ``OMP_NUM_THREADS``, else the number of cores this process may use.

    That is the CPU affinity, or the CPU quota of its control group (containers) if that is less.
    """
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if count is None and given.isdecimal():
        count = int(given)
    if count is not None:
        return max(1, count)
    affine = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if affine else os.cpu_count() or 1
    return max(1, min(cores, math.ceil(min(_quotas(), default=cores))))


def _quotas() -> list[float]:
    """Return the CPU quotas, in cores, of this process's control groups, of version 2 and 1."""
    lines = _text(_OWN_GROUP).splitlines()
    own = next((_GROUPS / line[3:].strip("/") for line in lines if line.startswith("0::")), _GROUPS)
    groups = [folder for folder in (own, *own.parents) if folder.is_relative_to(_GROUPS)]
    older = [_text(_GROUPS / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    texts = [" ".join(older), *(_text(folder / "cpu.max") for folder in groups)]
    pairs = [text.split() for text in texts]
    return [
        int(pair[0]) / int(pair[1])
        for pair in pairs
        if len(pair) == 2 and all(map(str.isdecimal, pair)) and int(pair[1])
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _require_cuda(wanted: str, cuda: bool) -> None:
    import torch

    if not cuda:
        built = torch.version.cuda is not None
        reason = "no GPU that PyTorch can use" if built else "this PyTorch has no CUDA"
        raise DeviceError(f"device {wanted}: {reason}; use device cpu")
    count = torch.cuda.device_count()
    if int(wanted.partition(":")[2] or 0) >= count:
        raise DeviceError(f"device {wanted}: this machine has {count} CUDA device(s)")
