"""``sod test`` from the sets to the list of what was written, alone or with other processes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sodcli.data.benchmark import BenchmarkSet
from sodcli.errors import UsageError
from sodcli.pipelines.crew import Crew
from sodcli.pipelines.mapfolder import MapFolder, describe
from sodcli.pipelines.predictor import Predictor
from sodcli.pipelines.published import PublishedPredictor
from sodcli.pipelines.strips import plan, share
from sodcli.pipelines.testset import Outcome, Report, Settings, run


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is asked for.

    Attributes:
        out: Folder of the maps.
        protocol: ``paper``: as published; ``infer``: as ``sod infer`` makes maps.
        batch: Pictures, or clips, per forward pass.
        half: Whether the predictor computes in bfloat16.
        resume: Leave the maps that are there and whole.
        overwrite: Make maps anew that are there.
    """

    out: Path
    protocol: Literal["paper", "infer"] = "paper"
    batch: int = 1
    half: bool = False
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one picture of a set; paths as text, ``error`` only where it failed."""

    set: str
    picture: str
    output: str
    status: str
    error: str | None


def make_maps(
    sets: Sequence[BenchmarkSet], predictor: Predictor, order: Order, crew: Crew, report: Report
) -> list[Row]:
    """Make the maps of ``sets``, together with the rest of the crew.

    Returns:
        What became of every picture of every process.

    Raises:
        UsageError: If the model makes no maps of pictures, or if there are maps already that this
            run may not touch.
        SinkError: If the folder cannot be written.
        PipelineError: If a map cannot be written.
        DeviceError: If the device has not enough memory even for one picture.
        WeightsError: If the network's answers are not finite.
    """
    spec, paper = predictor.spec, order.protocol == "paper"
    if spec.task != "saliency":
        raise UsageError(f"{spec.name!r} makes pseudo labels for films, see sod pseudo-label")
    strips = plan(sets, order.out, clips=spec.clip_len > 1)
    folder = MapFolder(order.out, describe(predictor, order.protocol, half=order.half))
    folder.check(strips, resume=order.resume, overwrite=order.overwrite)
    crew.gather([])  # nobody writes before all have looked
    if crew.rank == 0:
        folder.begin(strips, overwrite=order.overwrite)
    crew.gather([])
    rounding = spec.rounding if paper else "nearest"
    settings = Settings(order.batch, paper=paper, resume=order.resume, rounding=rounding)
    seer = PublishedPredictor(predictor) if paper else predictor
    outcomes = run(share(strips, crew.rank, crew.world), seer, settings, report)
    rows = crew.gather([json.dumps(asdict(_row(outcome))) for outcome in outcomes])
    return [Row(**json.loads(row)) for row in rows]


def _row(outcome: Outcome) -> Row:
    task, error = outcome.task, outcome.error
    text = None if error is None else str(error)
    return Row(task.set, str(task.pair.image), str(task.target), outcome.status, text)
