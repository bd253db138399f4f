"""Measure a network's speed, size and cost on this machine."""

import logging
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import nn

from sodcli import __version__
from sodcli.fetch.weights import Supply
from sodcli.models import build_model, input_shape
from sodcli.models.diffnet import absorb_shifts
from sodcli.models.pdc import reparameterise
from sodcli.registry import ModelSpec, default_registry
from sodcli.runtime.backends import Backend
from sodcli.runtime.backends.choose import make_backend
from sodcli.runtime.backends.engines import Run
from sodcli.runtime.backends.graph_cache import open_unsaved
from sodcli.runtime.model_source import find_network

FEWEST_RUNS: Final = 3  # of a measurement that ends by time


@dataclass(frozen=True, slots=True)
class Speed:
    """One measurement. Times are for one forward pass of the whole batch.

    Attributes:
        scope: What was timed: the network only, or the pipeline from file to file.
        median_ms: Median time in milliseconds.
        p90_ms: 90th percentile of the time in milliseconds.
        fps: Pictures (or frames of clips) per second: of the network at the median time, of the
            pipeline on average.
        parameters: Number of parameters in the form that was timed.
        gflops: 10^9 floating point operations per forward pass, 2 per multiply-add.
        peak_memory_mb: Peak memory in MiB: of the process on a CPU, of the allocator on a GPU.
    """

    model: str
    scope: str
    size: int
    batch: int
    clip: int
    reparam: bool
    half: bool
    compiled: bool
    backend: str
    device: str
    threads: int
    runs: int
    median_ms: float
    p90_ms: float
    fps: float
    parameters: int
    gflops: float
    peak_memory_mb: float | None
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class SpeedSettings:
    """What to measure; sizes are in pixels, ``half`` means bfloat16.

    Attributes:
        weights: A name of models.toml or a file; ``None`` for random weights, whose values do not
            affect the speed of the network alone.
        size: Side of the input; ``None`` for the model's default.
        clip: Frames per clip of a film model; ``None`` for the model's default.
        runs: Number of timed forward passes, or photos; ``None`` for as many as take ``seconds``.
        warmup: The same before the measurement starts; ``None`` for a fifth of ``seconds``, or 8
            photos.
        seconds: Duration of the measurement.
        backend: ``auto`` means the backend that ``sod infer`` chooses for the pipeline, and
            PyTorch for the network only.
    """

    weights: str | None = None
    size: int | None = None
    batch: int = 1
    clip: int | None = None
    runs: int | None = None
    warmup: int | None = None
    seconds: float = 10.0
    half: bool = False
    reparam: bool = True
    compiled: bool = False
    backend: str = "auto"

    def side(self, spec: ModelSpec) -> int:
        """Return the side of the input of ``spec``'s network, in pixels."""
        return self.size or spec.input_hw[0]

    def frames(self, spec: ModelSpec) -> int:
        """Return the frames of an input of ``spec``'s network; 1 for a model of pictures."""
        return 1 if spec.clip_len == 1 else self.clip or spec.clip_len


def measure_speed(spec: ModelSpec, settings: SpeedSettings, device: torch.device) -> Speed:
    """Time the forward pass of ``spec``'s network on random pictures."""
    if settings.backend == "auto":
        settings = replace(settings, backend="torch")
    module = make_module(spec, settings, device)
    runner: Callable[[torch.Tensor], object] = (
        torch.compile(module) if settings.compiled else module
    )
    if settings.backend != "torch":
        graph = graph_backend(spec, module, settings)
        runner = lambda x: graph.run(x.numpy())  # noqa: E731
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = _times(runner, make_input(spec, settings, device), settings)
    return summarise(spec, "network only", module, settings, times)


class _FreshGraph:
    """The graph of a network without a weights file."""

    def __init__(self, spec: ModelSpec, module: nn.Module) -> None:
        self._spec, self._module = spec, module

    def opened(
        self, kind: str, shape: Sequence[int] | None, open_graph: Callable[[Path], Run]
    ) -> Run:
        return open_unsaved(self._spec, self._module, kind, shape, open_graph)


def graph_backend(spec: ModelSpec, module: nn.Module, settings: SpeedSettings) -> Backend:
    """Return the backend ``settings.backend`` for ``module`` as a graph."""
    graphs = _FreshGraph(spec, module)
    backend = make_backend(settings.backend, graphs, torch.get_num_threads(), half=settings.half)
    if spec.clip_len == 1:
        backend.open_now()
    return backend


def make_module(spec: ModelSpec, settings: SpeedSettings, device: torch.device) -> nn.Module:
    """Return ``spec``'s network in eval mode, folded if the settings say so."""
    torch.manual_seed(0)
    if settings.weights is None:
        module = build_model(spec).eval()
        if settings.reparam:
            module = reparameterise(module)
            absorb_shifts(module)
    else:
        registry, supply = default_registry(), Supply(offline=True)
        source = find_network(
            spec.name, settings.weights, registry, supply, reparam=settings.reparam
        )
        module = source.build()
    return module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def summarise(
    spec: ModelSpec,
    scope: str,
    module: nn.Module,
    settings: SpeedSettings,
    times: list[float],
) -> Speed:
    """Return the measurement for ``times``: seconds for each batch that was timed."""
    device = next(module.parameters()).device
    median = statistics.median(times)
    return Speed(
        model=spec.name,
        scope=scope,
        size=settings.side(spec),
        batch=settings.batch,
        clip=settings.frames(spec),
        reparam=settings.reparam,
        half=settings.half,
        compiled=settings.compiled,
        backend=settings.backend,
        device=str(device),
        threads=torch.get_num_threads(),
        runs=len(times),
        median_ms=median * 1e3,
        p90_ms=_p90(times) * 1e3,
        fps=settings.batch * settings.frames(spec) / median,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        gflops=_count_gflops(module, make_input(spec, settings, device)),
        peak_memory_mb=_peak_memory_mb(device),
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that affect speed, and a description of the machine."""
    return {
        "sodcli": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def make_input(spec: ModelSpec, settings: SpeedSettings, device: torch.device) -> torch.Tensor:
    """Return random input of the shape that ``spec``'s network takes, channels-last."""
    size_hw = (settings.side(spec), settings.side(spec))
    shape = input_shape(spec, size_hw, batch=settings.batch, clip=settings.clip)
    x = torch.randn(shape, device=device)
    pictures = x.flatten(0, -4).contiguous(memory_format=torch.channels_last)
    return pictures.view(shape)  # each frame of a clip is channels-last


@torch.inference_mode()
def _times(
    runner: Callable[[torch.Tensor], object], x: torch.Tensor, settings: SpeedSettings
) -> list[float]:
    def run() -> None:
        runner(x)
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)

    with torch.autocast(x.device.type, torch.bfloat16, enabled=settings.half):
        _repeat(run, settings.warmup, settings.seconds / 5)
        return _repeat(run, settings.runs, settings.seconds)


def _repeat(run: Callable[[], None], count: int | None, seconds: float) -> list[float]:
    """Return the durations of ``count`` runs, else of ``seconds`` and at least ``FEWEST_RUNS``."""
    times: list[float] = []
    begin = now = time.perf_counter()
    while (
        len(times) < count
        if count is not None
        else len(times) < FEWEST_RUNS or now - begin < seconds
    ):
        run()
        times.append(time.perf_counter() - now)
        now += times[-1]
    return times


@torch.inference_mode()
def _count_gflops(module: nn.Module, x: torch.Tensor) -> float:
    # It says so if Triton is missing, as it is on Windows, which these networks do not need.
    logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module(x)
    flops: int = counter.get_total_flops()
    return flops / 1e9


def _p90(times: list[float]) -> float:
    return sorted(times)[max(0, -(-9 * len(times) // 10) - 1)]


def _peak_memory_mb(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
