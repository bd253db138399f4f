"""Time ``sod infer`` from file to file."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from sodcli.errors import MissingError
from sodcli.fetch.weights import Supply
from sodcli.infer.photos import Outcome, infer
from sodcli.io.settings import InferSettings
from sodcli.io.sinks import plan_outputs, save_picture
from sodcli.io.sources import find_inputs
from sodcli.registry import ModelSpec, default_registry
from sodcli.runtime.backends import Backend
from sodcli.runtime.backends.choose import Wish, decide
from sodcli.runtime.backends.graph_cache import Graphs
from sodcli.runtime.backends.torch_backend import TorchBackend
from sodcli.runtime.model_source import find_network
from sodcli.runtime.predictor import Predictor, load
from sodcli.runtime.speed import Speed, Trial, fresh_module, graph_backend, summarise

_PHOTO_HW: Final = (960, 1280)


def measure_pipeline(
    spec: ModelSpec, trial: Trial, device: torch.device, report: Callable[[int], None]
) -> Speed:
    """Time reading, network, cutting out and writing of drawn JPEG photos of 1280x960.

    Backend and size are those that ``sod infer`` takes for so many photos, unless the trial names
    others. ``runs`` and ``warmup`` are photos, rounded up to whole batches, as a batch comes out
    all at once. The times are of a batch, from end to end; ``fps`` is of all the time that was
    taken. Arguments as of :func:`.measure_speed`.
    """
    warmup, runs = (_whole(count, trial.batch) for count in (trial.warmup + 1, trial.runs))
    photos_in_all = warmup + runs
    chosen, predictor = _as_infer_does(spec, trial, device, photos_in_all)
    finished: list[float] = []

    def note(outcome: Outcome) -> None:
        if outcome.error is not None:
            raise outcome.error
        finished.append(time.perf_counter())
        report(1)

    with tempfile.TemporaryDirectory(prefix="sod-speed-") as folder:
        photos = Path(folder, "photos")
        for number in range(photos_in_all):
            save_picture(_photo(number), photos / f"{number}.jpg", None)
        settings = InferSettings(batch=trial.batch)
        jobs = plan_outputs(find_inputs([str(photos)], recursive=False), settings)
        infer(jobs, predictor, settings, note)
    ends = finished[warmup - 1 :: trial.batch]
    seen = replace(trial, clip=1, backend=chosen, size=predictor.size_hw[0])
    scope = "pipeline: read, network, cut out, write"
    speed = summarise(spec, scope, predictor.module, seen, np.diff(ends).tolist())
    return replace(speed, runs=runs, fps=runs / (ends[-1] - ends[0]))


def _whole(count: int, batch: int) -> int:
    """Return ``count`` rounded up to whole batches."""
    return -(-count // batch) * batch


def _as_infer_does(
    spec: ModelSpec, trial: Trial, device: torch.device, pictures: int
) -> tuple[str, Predictor]:
    """Return the name of the backend, and the network with its weights, or fresh ones."""
    wish = Wish(trial.backend, str(device), trial.half, trial.compiled, pictures)
    registry = default_registry()
    try:
        network = find_network(
            spec.name, None, registry, Supply(offline=True), reparam=trial.reparam
        )
    except MissingError:
        return _fresh(spec, trial, device)
    chosen = decide(wish, spec, Graphs(network, lambda _: None), reparam=trial.reparam)
    predictor = load(
        spec.name,
        device=wish.device,
        half=wish.half,
        reparam=trial.reparam,
        size=trial.size,
        offline=True,
        backend=chosen,
        compiled=wish.compiled,
        threads=torch.get_num_threads(),
        pictures=pictures,
    )
    return chosen, predictor


def _fresh(spec: ModelSpec, trial: Trial, device: torch.device) -> tuple[str, Predictor]:
    """Return the network with fresh weights, which cost what trained ones cost."""
    module = fresh_module(spec, trial, device)
    if trial.backend in ("auto", "torch"):
        runner: Backend = TorchBackend(module, device, half=trial.half, compiled=trial.compiled)
        return "torch", Predictor(spec, module, runner, size=trial.size)
    runner = graph_backend(spec, module, trial)
    return trial.backend, Predictor(spec, module, runner, size=trial.size)


def _photo(number: int) -> NDArray[np.uint8]:
    """Draw a bright disc on a dark slope, with grain so that it compresses like a photo."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices(_PHOTO_HW, dtype=np.float32)
    centre = rng.uniform(300, 660), rng.uniform(400, 880)
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 200**2
    slope = 40 + 60 * columns / _PHOTO_HW[1]
    grey = np.where(disc, 200, slope)[..., None] * rng.uniform(0.7, 1.2, 3)
    return np.clip(grey + rng.normal(0, 6, (*_PHOTO_HW, 3)), 0, 255).astype(np.uint8)
