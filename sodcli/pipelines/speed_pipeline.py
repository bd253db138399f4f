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

from sodcli.imaging.compose import Look
from sodcli.io.sinks import plan_outputs, save_picture
from sodcli.io.sources import find_inputs
from sodcli.pipelines.backends import Backend
from sodcli.pipelines.backends.torch_backend import TorchBackend
from sodcli.pipelines.infer import Outcome, Settings, infer
from sodcli.pipelines.predictor import Predictor
from sodcli.pipelines.speed import Speed, Trial, fresh_module, graph_backend, summarise
from sodcli.registry import ModelSpec

_PHOTO_HW: Final = (960, 1280)


def measure_pipeline(
    spec: ModelSpec, trial: Trial, device: torch.device, report: Callable[[int], None]
) -> Speed:
    """Time reading, network, cutting out and writing of drawn JPEG photos of 1280x960.

    The figures are per picture; arguments as of :func:`sodcli.pipelines.speed.measure_speed`.
    """
    module = fresh_module(spec, trial, device)
    backend: Backend = TorchBackend(module, device, half=trial.half, compiled=trial.compiled)
    if trial.backend != "torch":
        backend = graph_backend(spec, module, trial)
    predictor = Predictor(spec, module, backend, size=trial.size)
    finished: list[float] = []

    def note(outcome: Outcome) -> None:
        if outcome.error is not None:
            raise outcome.error
        finished.append(time.perf_counter())
        report(1)

    with tempfile.TemporaryDirectory(prefix="sod-speed-") as folder:
        photos = Path(folder, "photos")
        for number in range(trial.warmup + trial.runs + 1):
            save_picture(_photo(number), photos / f"{number}.jpg", None)
        jobs = plan_outputs(find_inputs([str(photos)], recursive=False), "rgba", None, alpha=True)
        infer(jobs, predictor, Settings(kind="rgba", look=Look(), batch=trial.batch), note)
    times = np.diff(finished)[trial.warmup :].tolist()
    single = replace(trial, batch=1)
    return summarise(spec, "pipeline: read, network, cut out, write", module, single, times)


def _photo(number: int) -> NDArray[np.uint8]:
    """Draw a bright disc on a dark slope, with grain so that it compresses like a photo."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices(_PHOTO_HW, dtype=np.float32)
    centre = rng.uniform(300, 660), rng.uniform(400, 880)
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 200**2
    slope = 40 + 60 * columns / _PHOTO_HW[1]
    grey = np.where(disc, 200, slope)[..., None] * rng.uniform(0.7, 1.2, 3)
    return np.clip(grey + rng.normal(0, 6, (*_PHOTO_HW, 3)), 0, 255).astype(np.uint8)
