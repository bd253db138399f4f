"""Time ``sod infer`` from file to file."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from sodcli.errors import MissingError
from sodcli.fetch.weights import Supply
from sodcli.infer.photos import Outcome, infer
from sodcli.io.settings import InferSettings
from sodcli.io.sinks import Job, save_picture
from sodcli.io.sources import Input
from sodcli.registry import ModelSpec, default_registry
from sodcli.runtime.backends import Backend
from sodcli.runtime.backends.choose import BackendRequest, decide
from sodcli.runtime.backends.graph_cache import Graphs
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.model_source import find_network
from sodcli.runtime.predictor import Predictor, load
from sodcli.runtime.speed import (
    FEWEST_RUNS,
    Speed,
    SpeedSettings,
    graph_backend,
    make_module,
    summarise,
)

_PHOTO_HW: Final = (960, 1280)
_PHOTOS: Final = 16  # distinct ones
_MOST_PHOTOS: Final = 2000  # cut out in a measurement that ends by time
_WARMUP: Final = 8


def measure_pipeline(spec: ModelSpec, settings: SpeedSettings, device: torch.device) -> Speed:
    """Time reading, prediction, cutting out and writing of synthetic 1280x960 JPEG photos.

    Backend and size are those that ``sod infer`` chooses for this number of photos, unless they are
    set in ``settings``. ``runs`` and ``warmup`` count photos and are rounded up to whole batches,
    because the photos of a batch finish together. The times are the intervals between the ends of
    batches; ``fps`` is the average.
    """
    warmup = _whole(1 + (_WARMUP if settings.warmup is None else settings.warmup), settings.batch)
    runs = settings.runs and _whole(settings.runs, settings.batch)
    chosen, predictor = _as_infer_does(spec, settings, device, runs and warmup + runs)
    with tempfile.TemporaryDirectory(prefix="sod-speed-") as folder:
        photos = [Path(folder, f"{number}.jpg") for number in range(_PHOTOS)]
        for number, photo in enumerate(photos):
            save_picture(_photo(number), photo)
        if runs is None:
            trial = _ends(predictor, photos, _whole(warmup + FEWEST_RUNS, settings.batch), settings)
            each = (trial[-1] - trial[warmup - 1]) / (len(trial) - warmup)
            wanted = max(FEWEST_RUNS, min(round(settings.seconds / each), _MOST_PHOTOS))
            runs = _whole(wanted, settings.batch)
        ends = _ends(predictor, photos, warmup + runs, settings)[warmup - 1 :: settings.batch]
    seen = replace(settings, clip=1, backend=chosen, size=predictor.size_hw[0])
    scope = "pipeline: read, network, cut out, write"
    speed = summarise(spec, scope, predictor.module, seen, np.diff(ends).tolist())
    return replace(speed, runs=runs, fps=runs / (ends[-1] - ends[0]))


def _ends(
    predictor: Predictor, photos: Sequence[Path], count: int, settings: SpeedSettings
) -> list[float]:
    """Cut out ``count`` photos, taken from ``photos`` in turn; return when each was done."""
    ends: list[float] = []

    def note(outcome: Outcome) -> None:
        if outcome.error is not None:
            raise outcome.error
        ends.append(time.perf_counter())

    paths = islice(cycle(photos), count)
    jobs = [Job(Input(path), path.with_name(f"{n}.png")) for n, path in enumerate(paths)]
    infer(jobs, predictor, InferSettings(batch=settings.batch), note)
    return ends


def _whole(count: int, batch: int) -> int:
    """Return ``count`` rounded up to whole batches."""
    return -(-count // batch) * batch


def _as_infer_does(
    spec: ModelSpec, settings: SpeedSettings, device: torch.device, pictures: int | None
) -> tuple[str, Predictor]:
    """Return the name of the backend and the predictor; random weights if there is no file."""
    request = BackendRequest(
        settings.backend, str(device), settings.half, settings.compiled, pictures
    )
    registry = default_registry()
    try:
        source = find_network(
            spec.name, settings.weights, registry, Supply(offline=True), reparam=settings.reparam
        )
    except MissingError:
        if settings.weights is not None:
            raise
        return _fresh(spec, settings, device)
    chosen = decide(request, spec, Graphs(source), reparam=settings.reparam)
    predictor = load(
        spec.name,
        weights=settings.weights,
        device=request.device,
        half=request.half,
        reparam=settings.reparam,
        size=settings.size,
        offline=True,
        backend=chosen,
        compiled=request.compiled,
        threads=torch.get_num_threads(),
        pictures=pictures,
    )
    return chosen, predictor


def _fresh(spec: ModelSpec, settings: SpeedSettings, device: torch.device) -> tuple[str, Predictor]:
    """Return the backend's name and a predictor with random weights, whose values do not matter."""
    module = make_module(spec, settings, device)
    name = "torch" if settings.backend == "auto" else settings.backend
    backend: Backend
    if name == "torch":
        backend = TorchBackend(module, device, half=settings.half, compiled=settings.compiled)
    else:
        backend = graph_backend(spec, module, settings)
    return name, Predictor(spec, module, backend, size=settings.size)


def _photo(number: int) -> NDArray[np.uint8]:
    """Return a bright disc on a dark gradient, with noise so that it compresses like a photo."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices(_PHOTO_HW, dtype=np.float32)
    centre = rng.uniform(300, 660), rng.uniform(400, 880)
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 200**2
    slope = 40 + 60 * columns / _PHOTO_HW[1]
    grey = np.where(disc, 200, slope)[..., None] * rng.uniform(0.7, 1.2, 3)
    return np.clip(grey + rng.normal(0, 6, (*_PHOTO_HW, 3)), 0, 255).astype(np.uint8)
